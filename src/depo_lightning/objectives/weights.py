"""Weighting of samples by their length."""

from __future__ import annotations

import torch
from torch import Tensor


def token_weights(tokens: Tensor, desirable: Tensor) -> Tensor:
    """Weights ∝ 1 / tokens with mean 1 over each class of the batch.

    A log-ratio is a sum over tokens, so long samples dominate the gradient; these weights undo that. Each class is
    normalised on its own: D and U differ in length by design, and their balance is λ_D's and λ_U's affair.

    Args:
        tokens: (B,) completion tokens of each sample, > 0.
        desirable: (B,) bool.

    Returns:
        (B,) weights, in the default floating type unless `tokens` has one.
    """
    inverse = 1.0 / tokens
    mean = torch.stack([inverse[~desirable].mean(), inverse[desirable].mean()])  # NaN for an absent class, unused
    return inverse / mean[desirable.long()]
