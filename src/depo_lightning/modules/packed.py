"""Sequences that share prefixes, laid out so that every shared token goes through the model once.

The token prefixes of a batch form trees: the steps of an episode, the episodes of one search, a system prompt that all
have in common. Each tree is flattened depth first into one row of tokens. A token sees its ancestors and itself, which
takes two forms here: key ranges for each stretch of new tokens (`Stretch`), and for every token the end of its subtree
(`exits`), so that token q sees k exactly if k ≤ q < exits[k].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from depo_lightning.modules.part import Part


class Stretch(NamedTuple):
    """Consecutive tokens that continue one another.

    Attributes:
        start, stop: where they are.
        prefix: ranges of the tokens before them on their path, in order.
        shared: length of that prefix in tokens.
    """

    start: int
    stop: int
    prefix: tuple[tuple[int, int], ...]
    shared: int


@dataclass(slots=True)
class Branches:
    """Completions that continue some prefix of a pass, and are scored without gradient: N' tokens.

    Their keys and values follow those of the pass: ranges in `stretches` and indices in `predictors` count through the
    N tokens of the pass and then through these. A completion's last token predicts nothing and is not among them.
    """

    input_ids: Tensor  # (1, N') int64
    positions: Tensor  # (1, N') int64
    stretches: list[Stretch]
    predictors: Tensor  # (A',) int64, the token before each scored one, among N + N'
    targets: Tensor  # (A',) int64, the scored tokens
    owners: Tensor  # (A',) int64, 0 … K−1, the branch of the batch that each belongs to


@dataclass(slots=True)
class PackedPass:
    """One pass through the model: N tokens, of which A distinct (token, successor) pairs are scored."""

    input_ids: Tensor  # (1, N) int64
    positions: Tensor  # (1, N) int64, place in the sequence
    exits: Tensor  # (N,) int64
    stretches: list[Stretch]
    predictors: Tensor  # (A,) int64, in 0 … N−1
    targets: Tensor  # (A,) int64
    members: Tensor  # (M,) int64, in 0 … A−1: sequences that share an agent token each count it
    segments: Tensor  # (M,) int64, 0 … S−1, the segment that the member belongs to
    branches: Branches | None

    def cost(self) -> int:
        """Tokens to compute, for sharing passes out."""
        return self.input_ids.shape[1]


@dataclass(slots=True)
class PackedBatch:
    """S segments and K branches in any number of passes."""

    passes: list[PackedPass]
    count: int  # S
    branches: int  # K
    part: Part | None = None  # None: all of a batch

    @property
    def tokens(self) -> int:
        """Agent tokens over all segments, as if nothing were shared."""
        return sum(len(item.members) for item in self.passes)

    def to(self, device: Any, **kwargs: Any) -> PackedBatch:
        """The batch on another device. Lightning looks for a method of this name."""
        return replace(self, passes=[_moved(item, device, **kwargs) for item in self.passes])


def _moved(item: Any, device: Any, **kwargs: Any) -> Any:
    """The dataclass with its tensors, and those of a nested `Branches`, on `device`."""
    values = {name: getattr(item, name) for name in item.__slots__}
    moved = {n: v.to(device, **kwargs) for n, v in values.items() if isinstance(v, Tensor)}
    if isinstance(values.get("branches"), Branches):
        moved["branches"] = _moved(values["branches"], device, **kwargs)
    return replace(item, **moved)


def visible(queries: Tensor, keys: Tensor, exits: Tensor) -> Tensor:
    """Whether each query sees each key, from their places in a flattened tree: the dense form of the mask."""
    return (keys <= queries) & (queries < exits[keys])


def lower_right(queries: int, keys: int, like: Tensor) -> Tensor:
    """(queries, keys) additive mask for queries at the end of the keys: each sees all up to itself."""
    hidden = torch.ones(queries, keys, dtype=torch.bool, device=like.device).triu(keys - queries + 1)
    return like.new_zeros(queries, keys).masked_fill_(hidden, float("-inf"))
