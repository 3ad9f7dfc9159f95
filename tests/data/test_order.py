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


@pytest.mark.parametrize(("processes", "accumulate"), [(4, 1), (1, 3), (2, 2), (30, 1)])
def test_every_batch_is_shared_out(processes: int, accumulate: int) -> None:
    plan = partial(bucketed, lengths(0), 1000)
    whole = as_lists(BatchOrder(plan, seed=3))
    orders = [BatchOrder(plan, 3, rank, processes, accumulate) for rank in range(processes)]
    assert {len(order) for order in orders} == {len(whole) * accumulate}
    items = [list(order) for order in orders]
    weights = np.arange(300.0)
    for number, batch in enumerate(whole):
        shares = [own[number * accumulate + turn] for own in items for turn in range(accumulate)]
        assert sorted(row for share in shares if share.counts for row in share.rows.tolist()) == sorted(batch)
        # weighted by what modules are told, the mean over the parts is the mean over the batch
        sums = [weights[share.rows].sum() / share.part(weights).divisor for share in shares]
        assert np.mean(sums) == pytest.approx(1.0)
        assert [share.part(weights).first for share in shares] == [share.turn == 0 for share in shares]
        assert max(len(share.rows) for share in shares) == -(-len(batch) // len(shares))


def test_an_order_goes_on_where_it_stopped() -> None:
    plan = partial(bucketed, lengths(0), 1000)
    order = BatchOrder(plan, seed=3)
    order.set_epoch(2)
    whole = as_lists(order)
    again = BatchOrder(plan, seed=3, done=(2, 5))
    assert len(again) == len(whole)
    assert as_lists(again) == whole[5:]
    again.set_epoch(3)
    order.set_epoch(3)
    assert as_lists(again) == as_lists(order)
