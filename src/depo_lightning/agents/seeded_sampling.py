"""Sampling whose randomness belongs to the answer, not to the batch it is generated in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor


class SeededSampling(LogitsProcessor):
    """Adds Gumbel noise to the log-probabilities, so that the greedy choice is a draw from them (Gumbel-max).

    Args:
        seeds: one per row; equal seeds draw equal noise at equal positions.
        temperature: 0 adds none, which is greedy decoding.
        top_p: tokens outside the smallest set with this share of the probability are never chosen.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float = 1.0) -> None:
        self.temperature, self.top_p = temperature, top_p
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores `(B, V)` with the noise of the next position, `(B, V)` in float32."""
        if self.temperature == 0:
            return scores
        logits = scores.float() / self.temperature
        if self.top_p < 1:
            logits = _nucleus(logits, self.top_p)
        waits = torch.stack([torch.empty(logits.shape[1]).exponential_(generator=each) for each in self._generators])
        gumbel = -torch.log(waits.clamp(min=torch.finfo(torch.float32).tiny))
        return logits + gumbel.to(logits.device)


def _nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Logits with all but the likeliest tokens that together reach `top_p` set to minus infinity."""
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    return torch.full_like(logits, -torch.inf).scatter(-1, order, ordered.masked_fill(before >= top_p, -torch.inf))
