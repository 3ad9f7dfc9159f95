"""Log-probabilities of agent tokens. The output head runs on agent tokens only: no (B, L, V) tensor ever exists."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

NO_SEGMENT = -1
Head = Callable[[Tensor], Tensor]


def completion_logps(hidden: Tensor, head: Head, input_ids: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of every agent token given all tokens before it in its row.

    Args:
        hidden: (B, L, H) last hidden states of a causal decoder over `input_ids`.
        head: the output head, (N, H) → (N, V) logits.
        input_ids: (B, L) int64.
        segments: (B, L) int64; which segment (step or trajectory) an agent token belongs to, −1 on every other
            token. What stands in column 0 is not predicted by anything, and left out.

    Returns:
        logps (N,) float32, or float64 if the model computes in it, and their segments (N,), in row-major order.
    """
    predicted = segments[:, 1:]
    mask = predicted != NO_SEGMENT
    logits = head(hidden[:, :-1][mask])
    precision = torch.promote_types(logits.dtype, torch.float32)
    return -F.cross_entropy(logits.to(precision), input_ids[:, 1:][mask], reduction="none"), predicted[mask]


def segment_logps(logps: Tensor, segments: Tensor, count: int) -> Tensor:
    """Sum token log-probabilities per segment: (N,) and (N,) → (count,). A segment without a token sums to 0."""
    return logps.new_zeros(count).index_add(0, segments, logps)


def sequence_logps(hidden: Tensor, head: Head, input_ids: Tensor, segments: Tensor, count: int) -> Tensor:
    """Log-probability of every segment, (count,): all steps of all episodes from one causal pass over each episode.

    Arguments as in `completion_logps`; `count` is the number of segments in the batch.
    """
    return segment_logps(*completion_logps(hidden, head, input_ids, segments), count)


def bc_loss(logps: Tensor) -> Tensor:
    """Behaviour cloning: mean negative log-probability over the agent tokens of the batch, (N,) → ()."""
    return -logps.mean()
