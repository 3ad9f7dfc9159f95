"""Episodes in play, in bands of like length: a forward pass reads as many keys for each row as the longest one has."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from depo_lightning.rollouts.cache import RowCache, States
from depo_lightning.rollouts.episode import Episode

_SHORTEST = 256  # capacity of the first band; each further one holds twice as many tokens
_PASS_TOKENS = 2048  # per pass, padding included
_PASS_COST = 64  # of a pass whatever it feeds, in tokens


@dataclass(slots=True)
class Row:
    """An episode in a row of a cache.

    Attributes:
        noise: uniform numbers, `(turns, tokens)`.
        ids: all tokens of the conversation so far.
        length: how many of them have their keys and values stored.
        start: where the current turn begins in `ids`.
        turns: agent turns before the current one.
        drafts: how the current turn may go, from its first token on; likeliest first.
    """

    episode: Episode
    noise: NDArray[np.float64]
    ids: list[int] = field(default_factory=list)
    length: int = 0
    start: int = 0
    turns: int = 0
    drafts: list[list[int]] = field(default_factory=list)


class Band:
    """Rows whose tokens fit into `capacity`; row i of the list owns row i of the cache."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.cache = RowCache(capacity)
        self.rows: list[Row] = []

    def add(self, row: Row, states: States | None = None) -> None:
        """Seat a row at the end, with the keys and values it has."""
        self.rows.append(row)
        self.cache.reserve(len(self.rows))
        if states is not None:
            self.cache.write(len(self.rows) - 1, states)

    def states(self, index: int) -> States | None:
        """A row's keys and values; None of a row that has none yet, for which there may be no storage either."""
        length = self.rows[index].length
        return self.cache.read(index, length) if length else None

    def remove(self, index: int) -> None:
        """Take a row out. The last one moves into the gap, so that rows in play stay in order."""
        states = self.states(len(self.rows) - 1)
        last = self.rows.pop()
        if index < len(self.rows):
            self.rows[index] = last
            if states is not None:
                self.cache.write(index, states)
        self.cache.reserve(len(self.rows))


def make_bands(max_context: int) -> list[Band]:
    """Bands for episodes of up to `max_context` tokens, shortest first."""
    capacities = [max_context]
    while capacities[0] > _SHORTEST:
        capacities.insert(0, -(-capacities[0] // 2))
    return [Band(capacity) for capacity in capacities]


def pass_width(wishes: list[int]) -> int:
    """Tokens per row of a pass: as many as give the most wished tokens for what the pass costs, padding included."""
    most = max(1, _PASS_TOKENS // len(wishes))
    ordered = np.sort(np.minimum(wishes, most))
    # Row i of the sorted rows and all before it get what they wish, the others as much as row i.
    served = np.cumsum(ordered) + ordered * np.arange(len(ordered) - 1, -1, -1)
    return int(ordered[np.argmax(served / (_PASS_COST + len(ordered) * ordered))])
