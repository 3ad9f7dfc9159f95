"""Which rows go into which batch, in which order: seeded, different in every epoch, each shared out over processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from depo_lightning.modules.part import Part

Plan = Callable[[np.random.Generator], list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a batch that one process computes at a time.

    Attributes:
        batch: all rows of the batch.
        own: the rows of each part that this process computes, in turn; none, where the batch has fewer rows than parts.
        turn: which of them this is.
        processes: the number of processes.
    """

    batch: np.ndarray
    own: tuple[np.ndarray, ...]
    turn: int = 0
    processes: int = 1

    @property
    def rows(self) -> np.ndarray:
        """What to compute; a part without rows computes one that counts nothing, to keep in step with the others."""
        rows = self.own[self.turn]
        return rows if self.counts else self.batch[:1]

    @property
    def counts(self) -> bool:
        """Whether the part has rows."""
        return len(self.own[self.turn]) > 0

    @property
    def alone(self) -> bool:
        """Whether this process computes its rows of the batch at once."""
        return len(self.own) == 1

    def part(self, weights: np.ndarray) -> Part:
        """What the module is told; `weights` is each row's share in the mean over the batch."""
        parts = len(self.own) * self.processes
        divisor = float(weights[self.batch].sum()) / parts if self.counts else math.inf
        return Part(divisor, self.turn == 0, self.turn == len(self.own) - 1)


def share_of(wanted: np.ndarray | Share) -> Share:
    """What stands for the rows of a whole batch, or of a part."""
    return wanted if isinstance(wanted, Share) else Share(wanted, (wanted,))


class BatchOrder(DistributedSampler[Any]):
    """Yields the row indices of one batch after the other, or this process's parts of them.

    Every batch is shared out: the batches, and with them the optimizer steps, are those of one process that computes
    each at once. It is a DistributedSampler because Lightning then leaves it alone and tells it the epoch.

    Args:
        plan: all batches of one epoch, from a random generator; the number must not depend on the generator.
        seed: seed of the order, together with the epoch.
        rank: this process.
        world_size: number of processes.
        accumulate: parts that each process makes of its share of a batch.
        done: (epoch, items) that a stopped training had computed: the first iteration over this epoch leaves them out.
    """

    def __init__(
        self,
        plan: Plan,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
        done: tuple[int, int] = (0, 0),
    ) -> None:
        self.plan = plan
        self.seed = seed
        self.rank = rank
        self.num_replicas = world_size
        self.accumulate = accumulate
        self.epoch, self._skip = done

    def __len__(self) -> int:
        return len(self._batches()) * self.accumulate

    def __iter__(self) -> Iterator[np.ndarray | Share]:
        skip, self._skip = self._skip, 0
        return islice(self._items(self._batches()), skip, None)

    def _items(self, batches: list[np.ndarray]) -> Iterator[np.ndarray | Share]:
        processes = self.num_replicas
        for batch in batches:
            if self.accumulate * processes == 1:
                yield batch
                continue
            own = tuple(np.array_split(batch, self.accumulate * processes)[self.rank :: processes])
            for turn in range(self.accumulate):
                yield Share(batch, own, turn, processes)

    def _batches(self) -> list[np.ndarray]:
        return self.plan(np.random.default_rng([self.seed, self.epoch]))


def bucketed(lengths: np.ndarray, batch_tokens: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of rows of similar length, at most `batch_tokens` tokens each with padding, in random order.

    A row longer than `batch_tokens` is a batch of its own. Rows of equal length change places between epochs.
    """
    shuffled = rng.permutation(len(lengths))
    by_length = shuffled[np.argsort(lengths[shuffled], kind="stable")]
    cuts, first = [], 0
    for end, length in enumerate(lengths[by_length].tolist(), start=1):
        if end - first > 1 and (end - first) * length > batch_tokens:
            first = end - 1
            cuts.append(first)
    batches = np.split(by_length, cuts)
    return [batches[index] for index in rng.permutation(len(batches))]


def stratified(desirable: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of at most `batch_size` rows that each hold D and U in the proportion of the whole, as near as may be.

    Sizes differ by at most one. A batch of a single row, which only an odd number of rows in batches of two can
    leave, is left out of this epoch.
    """
    place = np.empty(len(desirable))
    for members in (np.flatnonzero(desirable), np.flatnonzero(~desirable)):
        # evenly spaced over (0, 1): sorted by place, the classes interleave in proportion
        place[rng.permutation(members)] = (np.arange(len(members)) + 0.5) / max(len(members), 1)
    batches = np.array_split(np.argsort(place, kind="stable"), -(-len(desirable) // batch_size))
    return [batches[index] for index in rng.permutation(len(batches)) if len(batches[index]) > 1]
