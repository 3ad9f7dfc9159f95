"""The front against brute force, the hypervolume against inclusion–exclusion; both with ties and duplicates."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depo_lightning.errors import ConfigError
from depo_lightning.pareto import front, hypervolume

# Few distinct values, so that ties and duplicates are frequent.
point_sets = st.integers(1, 4).flatmap(
    lambda m: st.tuples(
        st.lists(st.lists(st.integers(0, 4), min_size=m, max_size=m), max_size=12),
        st.lists(st.sampled_from(["maximize", "minimize"]), min_size=m, max_size=m),
    )
)


def dominates(a, b, directions) -> bool:
    signs = [1 if d == "maximize" else -1 for d in directions]
    gains = [s * (x - y) for s, x, y in zip(signs, a, b, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


def volume_by_inclusion_exclusion(points, reference, directions) -> float:
    signs = np.array([1 if d == "maximize" else -1 for d in directions])
    sizes = np.maximum(0, (np.asarray(points, float) - reference) * signs)  # each point's box, seen from the reference
    total = 0.0
    for count in range(1, len(sizes) + 1):
        for subset in combinations(sizes, count):
            total -= (-1) ** count * float(np.prod(np.min(subset, axis=0)))
    return total


@settings(max_examples=500, deadline=None)
@given(point_sets)
def test_front_is_what_brute_force_finds(case):
    points, directions = case
    expected = [i for i, p in enumerate(points) if not any(dominates(q, p, directions) for q in points)]
    assert front(points, directions) == expected


INF, NAN = float("inf"), float("nan")
wild_sets = st.integers(1, 4).flatmap(
    lambda m: st.tuples(
        st.lists(
            st.lists(st.sampled_from([-INF, -1.0, -0.0, 0.0, 2.0, INF, NAN]), min_size=m, max_size=m), max_size=12
        ),
        st.lists(st.sampled_from(["maximize", "minimize"]), min_size=m, max_size=m),
    )
)


def beats(a, b, directions) -> bool:
    """`dominates` by comparison alone: infinities have no difference."""
    pairs = [(x, y) if d == "maximize" else (y, x) for x, y, d in zip(a, b, directions, strict=True)]
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)


@settings(max_examples=1000, deadline=None)
@given(wild_sets)
def test_infinities_ties_duplicates_and_nan_are_what_brute_force_finds(case):
    points, directions = case
    known = [i for i, p in enumerate(points) if not np.isnan(p).any()]
    expected = [i for i in known if not any(beats(points[j], points[i], directions) for j in known)]
    assert front(points, directions) == expected


def test_infinities_in_three_objectives():
    """On these moocore 0.3 ends the process."""
    points = [[0, 0, 1], [1, INF, 2], [0, INF, 3], [3, 2, 1], [1, INF, 1], [1, 2, 0], [3, 2, 1]]
    assert front(points, ["maximize", "maximize", "minimize"]) == [3, 4, 5, 6]


@settings(max_examples=500, deadline=None)
@given(wild_sets)
def test_only_a_point_inside_the_reference_makes_the_volume_infinite(case):
    points, directions = case
    reference = [0.0] * len(directions)
    inside = [p for p in points if all(x > 0 if d == "maximize" else x < 0 for x, d in zip(p, directions, strict=True))]
    if np.isinf(inside).any():
        assert hypervolume(points, reference, directions) == INF
    else:
        expected = volume_by_inclusion_exclusion(inside, reference, directions) if inside else 0.0
        assert hypervolume(points, reference, directions) == pytest.approx(expected)


def test_front_on_thousands_of_random_sets():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        m = int(rng.integers(1, 4))
        points = rng.integers(0, 5, size=(int(rng.integers(1, 15)), m)).astype(float)
        directions = list(rng.choice(["maximize", "minimize"], size=m))
        expected = [i for i, p in enumerate(points) if not any(dominates(q, p, directions) for q in points)]
        assert front(points, directions) == expected


def test_front_keeps_duplicates_and_respects_directions():
    points = [(0.5, 200), (0.8, 300), (0.5, 200), (0.7, 300), (0.8, 400)]
    assert front(points, ["maximize", "minimize"]) == [0, 1, 2]
    assert front(points, ["minimize", "maximize"]) == [0, 2, 3, 4]


def test_points_that_were_not_measured_are_on_no_front():
    points = [(np.nan, 1.0), (0.5, 200.0), (None, None), (0.9, np.nan)]
    assert front(points, ["maximize", "minimize"]) == [1]
    assert front([(np.nan, np.nan)], ["maximize", "minimize"]) == []
    assert front([], ["maximize", "minimize"]) == []
    assert hypervolume(points, (0, 300), ["maximize", "minimize"]) == pytest.approx(50)


@settings(max_examples=400, deadline=None)
@given(point_sets.filter(lambda case: len(case[0]) <= 7))
def test_hypervolume_is_what_inclusion_exclusion_gives(case):
    points, directions = case
    reference = [-1 if d == "maximize" else 4 for d in directions]  # some points lie on its edge
    expected = volume_by_inclusion_exclusion(points, reference, directions) if points else 0.0
    assert hypervolume(points, reference, directions) == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(point_sets)
def test_hypervolume_of_the_front_is_that_of_all_points(case):
    points, directions = case
    reference = [-1 if d == "maximize" else 5 for d in directions]
    kept = [points[i] for i in front(points, directions)]
    assert hypervolume(kept, reference, directions) == pytest.approx(hypervolume(points, reference, directions))


def test_hypervolume_minimises_by_default_and_ignores_what_is_worse_than_the_reference():
    assert hypervolume([(1, 2), (2, 1)], (3, 3)) == pytest.approx(3)
    assert hypervolume([(1, 2), (2, 1), (5, 0), (4, 4)], (3, 3)) == pytest.approx(3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: front([(1, 2)], ["maximize"]),
        lambda: front([(1, 2)], ["maximize", "up"]),
        lambda: front([(1, 2)], "maximize"),
        lambda: front([1, 2], ["maximize", "minimize"]),
        lambda: front([(1, 2), (1,)], ["maximize", "minimize"]),
        lambda: front([("a", "b")], ["maximize", "minimize"]),
        lambda: front([(1, 2)], []),
        lambda: hypervolume([(1, 2)], (3, 3, 3)),
        lambda: hypervolume([(1, 2)], (3, np.nan)),
        lambda: hypervolume([(1, 2)], (3, 3), ["minimize"]),
        lambda: hypervolume([(1, 2)], ()),
    ],
)
def test_wrong_input_is_a_configuration_error(call):
    with pytest.raises(ConfigError):
        call()
