"""Batch plans: complete, within the budget, stratified, seeded, and shared out over ranks."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from depo_lightning.data.order import BatchOrder, bucketed, stratified


def lengths(seed: int, size: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).integers(5, 400, size)


@pytest.mark.parametrize("seed", range(5))
def test_buckets_hold_every_row_once_within_the_budget(seed: int) -> None:
    batches = bucketed(lengths(seed), 1000, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(300))
    padded = [len(batch) * lengths(seed)[batch].max() for batch in batches]
    assert max(padded) <= 1000
    # padding is what bucketing is for: unsorted batches of this size waste about 40 %
    assert sum(padded) < 1.05 * lengths(seed).sum()


def test_a_row_beyond_the_budget_is_a_batch_of_its_own() -> None:
    batches = bucketed(np.array([3, 50, 3, 4, 60]), 10, np.random.default_rng(0))
    assert sorted(sorted(batch.tolist()) for batch in batches) == [[0, 2], [1], [3], [4]]


@pytest.mark.parametrize(("good", "bad", "size"), [(20, 20, 2), (30, 10, 8), (7, 50, 8), (12, 13, 5)])
def test_batches_keep_the_proportion_of_classes(good: int, bad: int, size: int) -> None:
    desirable = np.random.default_rng(1).permutation(np.arange(good + bad) < good)
    batches = stratified(desirable, size, np.random.default_rng(0))
    assert len(np.unique(np.concatenate(batches))) == good + bad
    for batch in batches:
        assert 2 <= len(batch) <= size
        expected = len(batch) * good / (good + bad)
        assert abs(desirable[batch].sum() - expected) <= 1.5
        assert 0 < desirable[batch].sum() < len(batch) or expected < 1


def test_a_lonely_row_is_left_out() -> None:
    batches = stratified(np.array([True, False, True]), 2, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [2]


def as_lists(order: BatchOrder) -> list[list[int]]:
    return [batch.tolist() for batch in order]


def test_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    plan = partial(bucketed, lengths(0), 1000)
    first, again, other = BatchOrder(plan, seed=0), BatchOrder(plan, seed=0), BatchOrder(plan, seed=1)
    assert as_lists(first) == as_lists(first) == as_lists(again) != as_lists(other)
    again.set_epoch(1)
    assert as_lists(first) != as_lists(again)
    assert len(first) == len(again) == len(as_lists(first))


def test_ranks_share_out_the_batches() -> None:
    plan = partial(bucketed, lengths(0), 1000)
    whole = {tuple(batch) for batch in as_lists(BatchOrder(plan, seed=3))}
    parts = [as_lists(BatchOrder(plan, seed=3, rank=rank, world_size=4)) for rank in range(4)]
    assert {len(part) for part in parts} == {len(whole) // 4}
    shared = [tuple(batch) for part in parts for batch in part]
    assert len(set(shared)) == len(shared)
    assert set(shared) <= whole
