"""Sampling with common random numbers: the noise belongs to the episode, not to the batch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def episode_noise(seed: int, task: int, turns: int, tokens: int) -> NDArray[np.float64]:
    """One uniform number in [0, 1) per token the agent may generate in the episode, `(turns, tokens)`.

    It depends on the seed and the task's index in its own environment alone, so every policy meets the same noise,
    however episodes are batched. A turn has its own row: policies that said turns of unlike length meet the same noise
    again in the next one.
    """
    return np.random.default_rng([seed, task]).random((turns, tokens))


def turn_seed(seed: int, task: int, turn: int) -> int:
    """The seed in [0, 2³¹) that a server draws a turn with: the same for every policy, another for every turn."""
    return int(np.random.SeedSequence([seed, task, turn]).generate_state(1)[0] >> 1)


def sample(logits: Tensor, uniforms: Tensor, temperature: float) -> Tensor:
    """Token ids by the inverse of the cumulative distribution, `(B, V)` and `(B,)` → `(B,)`.

    The same uniform number gives similar policies the same token with high probability, which is what makes their
    episodes comparable pairwise. Temperature 0 takes the likeliest token.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    weights = torch.softmax(logits.to(_at_least_float32(logits)) / temperature, dim=-1)
    cumulative = weights.cumsum(dim=-1, dtype=torch.float64)
    # Scaling by the last sum instead of 1 keeps the threshold inside the distribution whatever the rounding.
    thresholds = uniforms[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, thresholds, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
