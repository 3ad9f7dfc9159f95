"""Log-probabilities without training: the reference pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from depo_lightning.modules.batches import TokenBatch
from depo_lightning.modules.packed import PackedBatch
from depo_lightning.modules.passes import PLAIN, Compute, packed_logps
from depo_lightning.modules.policy import policy_logps


def score(
    model: nn.Module,
    batches: Iterable[TokenBatch | PackedBatch],
    progress: Callable[[int], None] = lambda done: None,
    compute: Compute = PLAIN,
) -> list[tuple[Tensor, Tensor]]:
    """Log-probability of every segment and branch under `model`, in evaluation mode and without gradient.

    Args:
        model: a causal LM; its training mode is restored afterwards.
        batches: any number of batches; they are moved to the model's device.
        progress: called after each batch with the number of log-probabilities it gave.
        compute: how packed batches are computed.

    Returns:
        (S,) of the segments and (K,) of the branches for each batch, on the CPU.
    """
    device = next(model.parameters()).device
    scores = []
    with _evaluating(model):
        for batch in batches:
            if isinstance(batch, PackedBatch):
                segments, branches = packed_logps(model, batch.to(device), compute)
            else:
                moved = TokenBatch(batch.input_ids.to(device), batch.segments.to(device), batch.count)
                segments, branches = policy_logps(model, moved), torch.empty(0)
            scores.append((segments.cpu(), branches.cpu()))
            progress(len(segments) + len(branches))
    return scores


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
