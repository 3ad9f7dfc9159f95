"""Log-probabilities without training: the reference pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from depo_lightning.modules.batches import TokenBatch
from depo_lightning.modules.policy import policy_logps


def score(
    model: nn.Module, batches: Iterable[TokenBatch], progress: Callable[[int], None] = lambda done: None
) -> list[Tensor]:
    """Log-probability of every segment under `model`, in evaluation mode and without gradient.

    Args:
        model: a causal LM; its training mode is restored afterwards.
        batches: any number of batches; they are moved to the model's device.
        progress: called after each batch with the number of segments it held.

    Returns:
        One (S,) tensor per batch, on the CPU.
    """
    training, device = model.training, next(model.parameters()).device
    model.eval()
    scores = []
    try:
        with torch.no_grad():
            for batch in batches:
                moved = TokenBatch(batch.input_ids.to(device), batch.segments.to(device), batch.count)
                scores.append(policy_logps(model, moved).cpu())
                progress(batch.count)
    finally:
        model.train(training)
    return scores
