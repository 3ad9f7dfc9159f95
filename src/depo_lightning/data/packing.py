"""Packing: sequences to passes in which equal token prefixes stand once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from depo_lightning.modules.packed import Branches, PackedBatch, PackedPass, Stretch
from depo_lightning.objectives.logps import NO_SEGMENT

_SHORTEST = 16  # tokens that two sequences must have in common to share them: less is not worth a cut in two


@dataclass(frozen=True, slots=True)
class Packing:
    """How a batch is cut into passes.

    Attributes:
        tokens: most tokens of a pass, or one sequence, should that be longer. A tree that does not fit is cut; its
            prefix is then computed once for each part.
        threads: passes that will be computed at a time; they get like shares.
    """

    tokens: int = 4096
    threads: int = 1


ONE_THREAD = Packing()


class Branch(NamedTuple):
    """A completion of another sequence's first `start` tokens."""

    sequence: int
    start: int
    completion: np.ndarray


def pack(
    ids: Sequence[np.ndarray],
    segments: Sequence[np.ndarray],
    count: int,
    branches: Sequence[Branch] = (),
    packing: Packing = ONE_THREAD,
) -> PackedBatch:
    """Lay sequences out in passes in which every shared token stands once.

    Args:
        ids: tokens of each sequence.
        segments: for every token the segment it belongs to, 0 … count − 1, or −1 for tokens that are not scored.
        count: number of segments.
        branches: completions to score without gradient after a prefix of one of the sequences, which must end before
            the sequence's last scored token.
        packing: size and number of the passes.
    """
    attached: dict[int, list[int]] = {}
    for number, branch in enumerate(branches):
        attached.setdefault(branch.sequence, []).append(number)
    passes = []
    for part in _parts(_inputs(ids, segments), packing):
        packed = _pack_part(part, ids, segments)
        own = [(number, branches[number], part.path(row)) for row in part.rows for number in attached.get(row, ())]
        packed.branches = _attach(own, part.size) if own else None
        passes.append(packed)
    return PackedBatch(passes, count, len(branches))


def _inputs(ids: Sequence[np.ndarray], segments: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What each sequence feeds to the model: all before its last scored token."""
    return [row[: np.flatnonzero(own != NO_SEGMENT)[-1]] for row, own in zip(ids, segments, strict=True)]


class _Part:
    """The flattened trees of one pass, sequence by sequence in lexicographic order."""

    def __init__(self) -> None:
        self.size = 0
        self.rows: list[int] = []
        self.stretches: list[Stretch] = []
        self.tokens: list[np.ndarray] = []
        self.positions: list[np.ndarray] = []
        self._paths: dict[int, np.ndarray] = {}

    def path(self, row: int) -> np.ndarray:
        """Places of the tokens that a sequence feeds."""
        return self._paths[row]

    def add(self, row: int, tokens: np.ndarray, shared: int) -> None:
        """Add a sequence whose first `shared` tokens are those of the sequence added last."""
        new = np.arange(self.size, self.size + len(tokens) - shared)
        prefix = self._paths[self.rows[-1]][:shared] if shared else new[:0]
        if len(new):
            self.stretches.append(Stretch(self.size, self.size + len(new), _ranges(prefix), shared))
            self.tokens.append(tokens[shared:])
            self.positions.append(np.arange(shared, len(tokens)))
        self.rows.append(row)
        self._paths[row] = np.concatenate([prefix, new])
        self.size += len(new)

    def exits(self) -> np.ndarray:
        """The end of each token's subtree. Depth first, a subtree ends where a later sequence leaves its path."""
        result = np.full(self.size, self.size)
        open_path = np.empty(0, dtype=np.int64)
        for stretch, positions in zip(self.stretches, self.positions, strict=True):
            result[open_path[stretch.shared :]] = stretch.start
            open_path = np.concatenate([open_path[: stretch.shared], stretch.start + np.arange(len(positions))])
        return result


def _parts(inputs: Sequence[np.ndarray], packing: Packing) -> Iterator[_Part]:
    """Neighbours in lexicographic order have the longest prefixes in common."""
    order = sorted(range(len(inputs)), key=lambda row: inputs[row].astype(">u4").tobytes())
    shared = [0, *(_shared(inputs[left], inputs[right]) for left, right in pairwise(order))]
    total = sum(map(len, inputs)) - sum(shared)
    share = total / (packing.threads * -(-total // (packing.threads * packing.tokens)))  # of a pass, when all are alike
    part, done, number = _Part(), 0, 1
    for row, common in zip(order, shared, strict=True):
        new = len(inputs[row]) - common
        if part.rows and (part.size + new > packing.tokens or done + new / 2 > number * share):
            yield part
            part, number, common = _Part(), number + 1, 0
        part.add(row, inputs[row], common)
        done += new
    yield part


def _shared(left: np.ndarray, right: np.ndarray) -> int:
    """Length of the longest common prefix; 0 where it is too short to be shared."""
    length = min(len(left), len(right))
    differing = np.flatnonzero(left[:length] != right[:length])
    common = int(differing[0]) if len(differing) else length
    return common if common >= min(_SHORTEST, len(right)) else 0


def _ranges(path: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Rising places as ranges of consecutive ones."""
    if not len(path):
        return ()
    cuts = np.flatnonzero(np.diff(path) != 1) + 1
    return tuple((int(piece[0]), int(piece[-1]) + 1) for piece in np.split(path, cuts))


def _pack_part(part: _Part, ids: Sequence[np.ndarray], segments: Sequence[np.ndarray]) -> PackedPass:
    predictors, targets, owners = [], [], []
    for row in part.rows:
        scored = np.flatnonzero(segments[row] != NO_SEGMENT)
        scored = scored[scored > 0]  # nothing predicts the first token
        predictors.append(part.path(row)[scored - 1])
        targets.append(ids[row][scored])
        owners.append(segments[row][scored])
    following = np.concatenate(targets)
    words = int(following.max()) + 1
    # one number for each pair: numpy sorts numbers much faster than pairs
    distinct, members = np.unique(np.concatenate(predictors) * words + following, return_inverse=True)
    return PackedPass(
        input_ids=_row(part.tokens),
        positions=_row(part.positions),
        exits=torch.from_numpy(part.exits()),
        stretches=part.stretches,
        predictors=torch.from_numpy(distinct // words),
        targets=torch.from_numpy(distinct % words),
        members=torch.from_numpy(members),
        segments=torch.from_numpy(np.concatenate(owners)),
        branches=None,
    )


def _attach(attached: Sequence[tuple[int, Branch, np.ndarray]], size: int) -> Branches:
    """Branches as (number in the batch, branch, path of its sequence) behind a pass of `size` tokens."""
    tokens, positions, stretches, predictors, targets, owners = [], [], [], [], [], []
    start = size
    for number, branch, path in attached:
        fed = len(branch.completion) - 1
        if fed:
            stretches.append(Stretch(start, start + fed, _ranges(path[: branch.start]), branch.start))
        tokens.append(branch.completion[:fed])
        positions.append(branch.start + np.arange(fed))
        predictors += [path[branch.start - 1 : branch.start], np.arange(start, start + fed)]
        targets.append(branch.completion)
        owners.append(np.full(fed + 1, number))
        start += fed
    return Branches(
        input_ids=_row(tokens),
        positions=_row(positions),
        stretches=stretches,
        predictors=torch.from_numpy(np.concatenate(predictors)),
        targets=torch.from_numpy(np.concatenate(targets)),
        owners=torch.from_numpy(np.concatenate(owners)),
    )


def _row(parts: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))[None]
