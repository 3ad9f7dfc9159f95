"""The batches that the modules eat, with shapes. B rows of L tokens hold S segments; K mismatched pairs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from depo_lightning.modules.packed import PackedBatch
from depo_lightning.modules.part import Part
from depo_lightning.objectives.logps import NO_SEGMENT


@dataclass(slots=True)
class TokenBatch:
    """Right-padded rows and the agent tokens in them.

    There is no attention mask: under causal attention no token sees the padding to its right.
    """

    input_ids: Tensor  # (B, L) int64
    segments: Tensor  # (B, L) int64; 0 … S−1 on agent tokens, −1 on prompt, observations and padding
    count: int  # S
    part: Part | None = None  # None: all of a batch

    @property
    def tokens(self) -> int:
        """Agent tokens of the batch."""
        return int((self.segments[:, 1:] != NO_SEGMENT).sum())


@dataclass(slots=True)
class PreferenceBatch:
    """Trajectories cut into S samples (one per step, or one per trajectory), and mismatched pairs for z0.

    The K pairs are branches of `sequences`, or sequences of their own: prompts with a foreign completion. z0 is that
    of a whole batch: the first of several parts that a device computes has the pairs of all, and the others none.
    """

    sequences: TokenBatch | PackedBatch  # one segment per sample
    mismatched: list[TokenBatch | PackedBatch]  # pairs that are no branches; beyond K they only keep devices in step
    ref_logps: Tensor  # (S,) float32, reference log-probability of each sample
    ref_kl_logps: Tensor  # (K,) float32, the same of each mismatched completion
    desirable: Tensor  # (S,) bool
    tokens_per_step: Tensor  # (S,) float32, T_token of the sample's trajectory
    steps: Tensor  # (S,) float32, T_step of the sample's trajectory
    sample_tokens: Tensor  # (S,) float32, agent tokens in the sample itself
    part: Part | None = None  # None: all of a batch
