"""Batches by search tree: complete, of the sizes that ungrouped ones have, whole trees together, seeded."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from depo_lightning.agents.chat import Encoded
from depo_lightning.choices import Grouping
from depo_lightning.data import SftDataModule, TokenRows
from depo_lightning.data.order import BatchOrder, stratified
from depo_lightning.data.rows import step_row
from depo_lightning.data.trees import consecutive_trees, find_trees, stratified_trees


def forest(seed: int, most: int = 4, count: int = 80) -> tuple[list[np.ndarray], np.ndarray]:
    """Row indices of trees of 1 … `most` trajectories, and which of all rows are desirable (one in three)."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most + 1, count)
    rows = rng.permutation(sizes.sum())
    return np.split(rows, np.cumsum(sizes)[:-1]), rng.random(sizes.sum()) < 1 / 3


def kept_together(trees: list[np.ndarray], batches: list[np.ndarray]) -> float:
    """Share of the trees that lie in one batch."""
    batch_of = {row: number for number, batch in enumerate(batches) for row in batch.tolist()}
    return float(np.mean([len({batch_of[row] for row in tree.tolist()}) == 1 for tree in trees]))


def at_random(trees: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
    """Batches of trees one after the other, without regard to classes."""
    order = np.concatenate(trees)
    return np.array_split(order, -(-len(order) // batch_size))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("batch_size", [4, 8, 16])
def test_preference_batches_hold_whole_trees_and_every_row_once(seed: int, batch_size: int) -> None:
    trees, desirable = forest(seed)
    batches = stratified_trees(trees, desirable, batch_size, np.random.default_rng(seed))
    plain = stratified(desirable, batch_size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(desirable)))
    assert sorted(map(len, batches)) == sorted(map(len, plain))
    assert kept_together(trees, batches) > (0.95 if batch_size > 4 else 0.8) > 0.4 > kept_together(trees, plain)


@pytest.mark.parametrize(("batch_size", "of_chance"), [(4, 0.95), (8, 0.75), (16, 0.6)])
def test_classes_keep_their_proportion_as_far_as_whole_trees_allow(batch_size: int, of_chance: float) -> None:
    def excess(desirable: np.ndarray, batches: list[np.ndarray]) -> list[float]:
        return [desirable[batch].sum() - len(batch) * desirable.mean() for batch in batches]

    balanced, by_chance = [], []
    for seed in range(10):
        trees, desirable = forest(seed)
        balanced += excess(desirable, stratified_trees(trees, desirable, batch_size, np.random.default_rng(seed)))
        by_chance += excess(desirable, at_random(trees, batch_size))
    assert np.std(balanced) < of_chance * np.std(by_chance)


def test_trees_of_one_make_up_keep_the_proportion_exactly() -> None:
    trees = list(np.arange(96).reshape(32, 3))
    desirable = np.arange(96) % 3 == 0
    for batch in stratified_trees(trees, desirable, 12, np.random.default_rng(0)):
        assert (len(batch), desirable[batch].sum()) == (12, 4)


def test_a_tree_larger_than_a_batch_is_cut_into_parts_of_like_size() -> None:
    trees = [np.arange(20), np.arange(20, 23)]
    desirable = np.arange(23) % 2 == 0
    cuts = set()
    for seed in range(20):
        batches = stratified_trees(trees, desirable, 12, np.random.default_rng(seed))
        assert sorted(map(len, batches)) == [11, 12]
        assert all(len(np.unique(batch)) == len(batch) for batch in batches)
        cuts.add(frozenset(frozenset(batch.tolist()) for batch in batches))
    assert len(cuts) > 5


@pytest.mark.parametrize("seed", range(5))
def test_token_batches_hold_consecutive_trees_near_the_budget(seed: int) -> None:
    trees, desirable = forest(seed)
    lengths = np.random.default_rng(seed).integers(5, 100, len(desirable))
    batches = consecutive_trees(trees, lengths, 1000, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == -(-lengths.sum() // 1000)
    assert all(abs(lengths[batch].sum() - lengths.sum() / len(batches)) <= lengths.max() for batch in batches)
    tree_of = {row: number for number, tree in enumerate(trees) for row in tree.tolist()}
    for batch in batches:
        inner = np.unique([tree_of[row] for row in batch.tolist()])
        whole = [tree for tree in inner if np.isin(trees[tree], batch).all()]
        assert len(whole) >= len(inner) - 2


@pytest.mark.parametrize("lengths", [[3, 50, 3, 4, 60], [1000, 1, 1, 1], [1, 1, 1, 1000], [7]])
def test_rows_beyond_the_budget_leave_no_batch_empty(lengths: list[int]) -> None:
    trees = [np.array([row]) for row in range(len(lengths))]
    for seed in range(10):
        batches = consecutive_trees(trees, np.array(lengths), 10, np.random.default_rng(seed))
        assert len(batches) == min(len(lengths), -(-sum(lengths) // 10))
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert min(map(len, batches)) > 0


@pytest.mark.parametrize("kind", ["preference", "tokens"])
def test_order_is_seeded_and_new_in_every_epoch(kind: str) -> None:
    trees, desirable = forest(0)
    lengths = np.random.default_rng(0).integers(5, 100, len(desirable))
    plans = {
        "preference": partial(stratified_trees, trees, desirable, 8),
        "tokens": partial(consecutive_trees, trees, lengths, 1000),
    }

    def epoch(seed: int, number: int) -> list[list[int]]:
        order = BatchOrder(plans[kind], seed)
        order.set_epoch(number)
        return [batch.tolist() for batch in order]

    epochs = [epoch(0, 0), epoch(0, 1), epoch(1, 0)]
    assert epoch(0, 1) == epochs[1]
    assert len({len(own) for own in epochs}) == 1
    company = [{frozenset(batch) for batch in own} for own in epochs]
    for left in range(3):
        for right in range(left):  # not only in another order, but other trees together
            assert len(company[left] & company[right]) < 0.1 * len(epochs[0])


def test_neighbours_in_a_tree_share_the_longest_prefixes() -> None:
    texts = [[1, 2, 9, 4], [300, 7], [1, 2, 3, 4], [1, 2, 9, 5], [1, 256, 3]]
    rows = TokenRows([step_row(Encoded(ids, [(1, len(ids))])) for ids in texts])
    trees = find_trees(["a", "b", "a", "a", "a"], rows)
    assert [tree.tolist() for tree in trees] == [[2, 0, 3, 4], [1]]


def test_conversations_without_a_task_are_trees_of_their_own() -> None:
    sequences = [Encoded([1, 2, row], [(1, 3)]) for row in range(12)]
    tasks = [str(row % 3) for row in range(12)]
    for named, together in ((tasks, True), (None, False)):
        module = SftDataModule(sequences, 12, seed=0, grouping=Grouping.tree, tasks=named)
        batches = list(module.plan(np.random.default_rng(0)))
        assert [len(batch) for batch in batches] == [4, 4, 4]
        assert all((len({tasks[row] for row in batch}) == 1) == together for batch in batches)
