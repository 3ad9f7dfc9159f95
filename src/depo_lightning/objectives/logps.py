"""Log-probabilities of agent tokens. The output head runs on agent tokens only, some at a time.

Neither (B, L, V) nor (N, V) logits ever exist for a large vocabulary V.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

NO_SEGMENT = -1
Head = Callable[[Tensor], Tensor]
_LOGITS = 1 << 22  # at a time: 16 MiB in fp32


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
    return token_logps(hidden[:, :-1][mask], head, input_ids[:, 1:][mask]), predicted[mask]


def token_logps(hidden: Tensor, head: Head, targets: Tensor, logits: int = _LOGITS) -> Tensor:
    """Log-probability of each target token, in pieces of at most `logits` logits (or one token).

    A frozen head (LoRA's) gives the slope ∂logp/∂hidden together with the log-probability, since a token's
    log-probability depends on its own hidden state alone; the pieces of a trainable one are computed again for their
    gradient.

    Args:
        hidden: (N, H) hidden states that predict the targets.
        head: (N, H) → (N, V) logits.
        targets: (N,) int64.

    Returns:
        (N,) float32, or float64 if the model computes in it.
    """
    vocabulary = getattr(head, "out_features", None)
    size = len(targets) if vocabulary is None else max(1, logits // vocabulary)
    if len(targets) <= size:
        return _logps(head, hidden, targets)
    pieces = list(zip(hidden.split(size), targets.split(size), strict=True))
    if not torch.is_grad_enabled():
        return torch.cat([_logps(head, *piece) for piece in pieces])
    if isinstance(head, nn.Module) and not any(weight.requires_grad for weight in head.parameters()):
        values: Tensor = _FrozenHead.apply(hidden, head, pieces)
        return values
    return torch.cat([checkpoint(_logps, head, *piece, use_reentrant=False) for piece in pieces])


def _logps(head: Head, hidden: Tensor, targets: Tensor) -> Tensor:
    logits = head(hidden)
    precision = torch.promote_types(logits.dtype, torch.float32)
    return -F.cross_entropy(logits.to(precision), targets, reduction="none")


class _FrozenHead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Head, pieces: list[tuple[Tensor, Tensor]]) -> Tensor:
        values, slopes = [], torch.empty_like(hidden)
        done = 0
        for states, targets in pieces:
            leaf = states.detach().requires_grad_()
            with torch.enable_grad():
                logps = _logps(head, leaf, targets)
                (slopes[done : done + len(targets)],) = torch.autograd.grad(logps.sum(), leaf)
            values.append(logps.detach())
            done += len(targets)
        ctx.save_for_backward(slopes)
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return (gradient[:, None] * slopes).to(slopes.dtype), None, None


def segment_logps(logps: Tensor, segments: Tensor, count: int) -> Tensor:
    """Sum token log-probabilities per segment: (N,) and (N,) → (count,). A segment without a token sums to 0."""
    return logps.new_zeros(count).index_add(0, segments, logps)


def sequence_logps(hidden: Tensor, head: Head, input_ids: Tensor, segments: Tensor, count: int) -> Tensor:
    """Log-probability of every segment, (count,): all steps of all episodes from one causal pass over each episode.

    Arguments as in `completion_logps`; `count` is the number of segments in the batch.
    """
    return segment_logps(*completion_logps(hidden, head, input_ids, segments), count)


def bc_loss(logps: Tensor, tokens: float) -> Tensor:
    """Behaviour cloning: mean negative log-probability over the agent tokens of the batch, ().

    Args:
        logps: (S,) log-probabilities of segments.
        tokens: agent tokens in all of them; of a part of a batch, the batch's over the number of parts.
    """
    return -logps.sum() / tokens
