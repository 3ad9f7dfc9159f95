"""Batches in which the trajectories of one search tree meet, so that packing finds the prefixes they share."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

import numpy as np

from depo_lightning.data.rows import TokenRows


def find_trees(tasks: Sequence[str], rows: TokenRows) -> list[np.ndarray]:
    """Row indices of each task, by their tokens: neighbours share the most, and a tree that is cut loses little."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row, task in enumerate(tasks):
        found[task].append(row)
    return [np.array(sorted(own, key=lambda row: rows.row(row)[0].astype(">u4").tobytes())) for own in found.values()]


def stratified_trees(
    trees: Sequence[np.ndarray], desirable: np.ndarray, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Batches of at most `batch_size` rows, of whole trees where they fit, with D and U in proportion as far as may be.

    Number and sizes of the batches are those of `order.stratified`. Trees of one make-up, which is their numbers of D
    and U, are spread evenly over the epoch. Of the next few trees a batch takes those that bring it nearest to the
    proportion of the whole; where none fits, one is cut.
    """
    proportion = desirable.mean()
    waiting: defaultdict[tuple[int, int], deque[tuple[int, np.ndarray]]] = defaultdict(deque)  # by make-up, in order
    for place, tree in enumerate(_spread(_pieces(trees, batch_size, rng), desirable, rng)):
        waiting[_make_up(tree, desirable)].append((place, tree))

    def take(space: int, excess: float) -> np.ndarray:
        """A tree, or as much of one as there is space, for a batch with `excess` more desirable rows than its due."""
        heads = {kind: queue[0][0] for kind, queue in waiting.items() if queue}
        fitting = [kind for kind in heads if sum(kind) <= space] or list(heads)
        soon = max(min(heads.values()) + batch_size, min(heads[kind] for kind in fitting))
        best = min(
            (abs(excess + kind[0] - proportion * sum(kind)), heads[kind], kind)
            for kind in fitting
            if heads[kind] <= soon
        )
        place, tree = waiting[best[-1]].popleft()
        if len(tree) > space:
            waiting[_make_up(tree[space:], desirable)].appendleft((place, tree[space:]))
        return tree[:space]

    batches = []
    for part in np.array_split(np.arange(len(desirable)), -(-len(desirable) // batch_size)):
        batch = part[:0]
        while len(batch) < len(part):
            excess = desirable[batch].sum() - proportion * len(batch)
            batch = np.concatenate([batch, take(len(part) - len(batch), excess)])
        batches.append(batch)
    return [batches[index] for index in rng.permutation(len(batches)) if len(batches[index]) > 1]


def consecutive_trees(
    trees: Sequence[np.ndarray], lengths: np.ndarray, batch_tokens: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Batches of about `batch_tokens` tokens, not counting padding, from trees in random order.

    Trees follow one another, and a batch ends at the row nearest to its share of all tokens: only its first and its
    last tree can be cut, and it misses its share by less than its longest row.
    """
    order = np.concatenate([trees[index] for index in rng.permutation(len(trees))])
    tokens = lengths[order]
    total = int(tokens.sum())
    number = min(-(-total // batch_tokens), len(order))
    ends = total / number * np.arange(1, number)
    cuts = np.searchsorted(np.cumsum(tokens) - tokens / 2, ends)
    step = np.arange(1, number)  # rows longer than a batch must leave none of them empty
    cuts = np.minimum(np.maximum.accumulate(np.maximum(cuts, 1) - step) + step, len(order) - number + step)
    batches = np.split(order, cuts)
    return [batches[index] for index in rng.permutation(len(batches))]


def _pieces(trees: Sequence[np.ndarray], most: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Trees larger than a batch in parts of like size, cut at other places each time."""
    pieces = []
    for tree in trees:
        turned = tree if len(tree) <= most else np.roll(tree, rng.integers(len(tree)))
        pieces += np.array_split(turned, -(-len(tree) // most))
    return pieces


def _spread(trees: Sequence[np.ndarray], desirable: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The trees in random order, those with equal numbers of D and U at even distances."""
    kinds: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for index, tree in enumerate(trees):
        kinds[_make_up(tree, desirable)].append(index)
    place = np.empty(len(trees))
    for members in kinds.values():
        place[rng.permutation(members)] = (np.arange(len(members)) + rng.random()) / len(members)
    return [trees[index] for index in np.argsort(place)]


def _make_up(tree: np.ndarray, desirable: np.ndarray) -> tuple[int, int]:
    """Numbers of its desirable and undesirable rows."""
    good = int(desirable[tree].sum())
    return good, len(tree) - good
