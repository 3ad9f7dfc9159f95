"""Token rows of different lengths, held flat so that a batch is a few array operations."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from depo_lightning.data.packing import Branch, Packing, pack
from depo_lightning.errors import DataError
from depo_lightning.modules.batches import TokenBatch
from depo_lightning.modules.packed import PackedBatch
from depo_lightning.objectives.logps import NO_SEGMENT
from depo_lightning.trajectory import Trajectory

PADDING = 0  # any id will do: causal attention hides what stands to the right
MAX_FAULTS = 20


class TokenSequence(Protocol):
    """A rendered conversation: token ids, and one [start, end) span per agent turn (`agents.chat.Encoded`)."""

    @property
    def input_ids(self) -> Sequence[int]:
        """Token ids of the whole conversation."""

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Agent turns in order, end-of-turn token included."""


@dataclass(frozen=True, slots=True)
class CompactSequence:
    """A conversation whose ids take 4 bytes a token, for those that are held by the thousand."""

    input_ids: array[int]
    spans: list[tuple[int, int]]

    @classmethod
    def of(cls, sequence: TokenSequence) -> CompactSequence:
        """The same tokens and spans."""
        return cls(array("i", sequence.input_ids), sequence.spans)


def span_faults(name: str, sequence: TokenSequence) -> list[str]:
    """What is wrong with the agent spans of a sequence; `name` goes into the messages."""
    length, previous, faults = len(sequence.input_ids), 1, []
    if not sequence.spans:
        faults.append(f"{name}: no agent turn; expected at least one")
    for start, end in sequence.spans:
        if not previous <= start < end <= length:
            faults.append(
                f"{name}: agent span [{start}, {end}) among {length} tokens; spans must be in order, not empty, "
                "apart from each other, and leave at least one token of prompt before the first"
            )
        previous = end
    return faults


def check_spans(named: Sequence[tuple[str, TokenSequence]]) -> None:
    """Raise a DataError that lists the faults of all sequences (the first 20)."""
    faults = [fault for name, sequence in named for fault in span_faults(name, sequence)]
    if faults:
        raise DataError(faults[:MAX_FAULTS])


class TokenRows:
    """R rows of tokens with the segment of every token, numbered from 0 within its row, −1 outside agent turns."""

    def __init__(self, rows: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        """Rows as (ids, segments), each two integer arrays of one length; held as int32, handed out as int64."""
        flat = array("i"), array("i")
        facts = []
        for ids, segments in rows:
            for values, held in zip((ids, segments), flat, strict=True):
                held.frombytes(values.astype(np.int32).tobytes())
            facts.append((len(ids), int(segments.max()) + 1, int((segments != NO_SEGMENT).sum())))
        self.ids, self.segments = (np.frombuffer(held, dtype=np.int32) for held in flat)
        columns = np.array(facts, dtype=np.int64).reshape(-1, 3).T.copy()
        self.lengths, self.counts, self.scored = columns  # tokens, segments, agent tokens
        self.starts = np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(ids, segments) of one row."""
        place = slice(self.starts[index], self.starts[index] + self.lengths[index])
        return self.ids[place].astype(np.int64), self.segments[place].astype(np.int64)

    def sequences(self, indices: np.ndarray, packing: Packing | None) -> TokenBatch | PackedBatch:
        """The rows `indices` as `packing` has it: None pads each row out on its own."""
        return self.batch(indices) if packing is None else self.packed(indices, packing)

    def packed(
        self, indices: np.ndarray | Sequence[int], packing: Packing, branches: Sequence[Branch] = ()
    ) -> PackedBatch:
        """The rows `indices` with equal prefixes once; segments are numbered as in `batch`.

        Args:
            indices: which rows.
            packing: size and number of the passes.
            branches: completions of these rows' prefixes; their `sequence` counts through `indices`.
        """
        chosen = np.asarray(indices)
        counts = self.counts[chosen]
        rows = [self.row(index) for index in chosen.tolist()]
        first = np.cumsum(counts) - counts
        numbered = [
            np.where(own == NO_SEGMENT, NO_SEGMENT, own + start) for (_, own), start in zip(rows, first, strict=True)
        ]
        return pack([ids for ids, _ in rows], numbered, int(counts.sum()), branches, packing)

    def batch(self, indices: np.ndarray | Sequence[int]) -> TokenBatch:
        """The rows `indices`, right-padded to the longest; segments are numbered through the whole batch."""
        chosen = np.asarray(indices)
        lengths, counts = self.lengths[chosen], self.counts[chosen]
        column = np.arange(lengths.max())
        inside = column < lengths[:, None]
        position = np.where(inside, self.starts[chosen][:, None] + column, 0)
        local = np.where(inside, self.segments[position], NO_SEGMENT).astype(np.int64)
        first = (np.cumsum(counts) - counts)[:, None]
        return TokenBatch(
            input_ids=torch.from_numpy(np.where(inside, self.ids[position], PADDING).astype(np.int64)),
            segments=torch.from_numpy(np.where(local == NO_SEGMENT, NO_SEGMENT, local + first)),
            count=int(counts.sum()),
        )


def trajectory_task(trajectory: Trajectory) -> str:
    """Tells tasks apart; the episodes of one search tree have one task."""
    return f"{trajectory.env}/{trajectory.task}"


def step_row(sequence: TokenSequence) -> tuple[np.ndarray, np.ndarray]:
    """(ids, segments) of a conversation, one segment per agent turn."""
    ids = np.asarray(sequence.input_ids, dtype=np.int64)
    segments = np.full(len(ids), NO_SEGMENT, dtype=np.int64)
    for step, (start, end) in enumerate(sequence.spans):
        segments[start:end] = step
    return ids, segments


def trajectory_row(sequence: TokenSequence) -> tuple[np.ndarray, np.ndarray]:
    """(ids, segments) of a conversation, all agent turns in segment 0."""
    ids, segments = step_row(sequence)
    return ids, np.minimum(segments, 0)
