"""Which rows go into which batch, in which order: seeded, different in every epoch, shared out over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch.utils.data.distributed import DistributedSampler

Plan = Callable[[np.random.Generator], list[np.ndarray]]


class BatchOrder(DistributedSampler[Any]):
    """Yields the row indices of one batch after the other.

    It is a DistributedSampler because Lightning then leaves it alone and tells it the epoch; each rank gets the same
    number of batches, and the few left over stay out for this epoch.

    Args:
        plan: all batches of one epoch, from a random generator; the number must not depend on the generator.
        seed: seed of the order, together with the epoch.
        rank: this process.
        world_size: number of processes.
    """

    def __init__(self, plan: Plan, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.plan = plan
        self.seed = seed
        self.rank = rank
        self.num_replicas = world_size
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._batches()) // self.num_replicas

    def __iter__(self) -> Iterator[np.ndarray]:
        batches = self._batches()
        usable = len(batches) // self.num_replicas * self.num_replicas
        return iter(batches[self.rank : usable : self.num_replicas])

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
