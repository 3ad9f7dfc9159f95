"""Paired differences: hand-computed values, coverage, and the cases where nothing can be said."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from depo_lightning.errors import DataError
from depo_lightning.evaluation.metrics import summarise
from depo_lightning.evaluation.paired import Difference, paired_difference, policy_results
from depo_lightning.trajectory import Status


def test_differences_by_hand(episode):
    policy = [episode(0, [10, 10], True), episode(1, [20], False, invalid=1), episode(2, [30], True)]
    baseline = [episode(2, [40], True), episode(1, [20, 20], True), episode(0, [10, 10, 20], False, invalid=1)]
    found = {name: d.mean for name, d in paired_difference(policy, baseline, seed=0).items()}
    assert found == pytest.approx(
        {
            "success": 0,
            "reward": 0,
            "tokens": (70 - 120) / 3,
            "steps": (4 - 6) / 3,
            "invalid_action_rate": 1 / 4 - 1 / 6,
            "tokens_per_step": 70 / 4 - 120 / 6,
            "tokens_per_success": 70 / 2 - 120 / 2,
            "tokens_percent": 100 * (70 / 120 - 1),
            "steps_percent": 100 * (4 / 6 - 1),
        }
    )


def test_differences_of_means_are_means_of_differences(episodes):
    a, b = episodes(60, 1), episodes(60, 2)
    found, ours, theirs = paired_difference(a, b, seed=0), summarise(a), summarise(b)
    for name, metric in (("tokens", "tokens_all"), ("tokens_per_step", "tokens_per_step")):
        assert found[name].mean == pytest.approx(ours[metric].mean - theirs[metric].mean)


def test_same_seed_same_interval_and_order_does_not_matter(episodes):
    a, b = episodes(50, 1), episodes(50, 2)
    first = paired_difference(a, b, seed=3)
    assert paired_difference(a[::-1], b, seed=3) == first
    assert paired_difference(a, b, seed=4) != first


def test_interval_of_a_mean_is_close_to_the_normal_one(episodes):
    a, b = episodes(400, 1), episodes(400, 2)
    differences = [x.agent_tokens - y.agent_tokens for x, y in zip(a, b, strict=True)]
    se = np.std(differences, ddof=1) / math.sqrt(len(differences))
    found = paired_difference(a, b, seed=0)["tokens"]
    assert found.low == pytest.approx(found.mean - 1.96 * se, abs=0.12 * se)
    assert found.high == pytest.approx(found.mean + 1.96 * se, abs=0.12 * se)


def test_pairing_narrows_the_interval(episodes):
    """Tasks differ far more than policies do: a shift of 1.5 tokens per episode is resolved only in pairs."""
    baseline = episodes(100, 1)
    policy = [
        replace(t, steps=(replace(t.steps[0], tokens=t.steps[0].tokens + 1 + t.task % 2), *t.steps[1:]))
        for t in baseline
    ]
    found = paired_difference(policy, baseline, seed=0)["tokens"]
    assert found.mean == pytest.approx(1.5)
    assert 1.2 < found.low < found.high < 1.8
    assert found.resolved


def test_ratios_are_paired_too(episodes):
    """Twice the tokens on every task is +100 % in every resample of tasks, though tasks differ widely."""
    baseline = episodes(40, 1)
    policy = [replace(t, steps=tuple(replace(s, tokens=2 * s.tokens) for s in t.steps)) for t in baseline]
    found = paired_difference(policy, baseline, seed=0)["tokens_percent"]
    assert (found.low, found.high) == pytest.approx((100, 100))


@pytest.mark.slow
def test_intervals_cover_the_truth(episode):
    """95 % intervals for the difference of two rates hold the truth in about 95 % of repetitions."""
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        hard = rng.random(80)
        policy = [episode(i, [5], bool(rng.random() < 0.4 + 0.5 * h)) for i, h in enumerate(hard)]
        baseline = [episode(i, [5], bool(rng.random() < 0.3 + 0.5 * h)) for i, h in enumerate(hard)]
        d = paired_difference(policy, baseline, seed=seed)["success"]
        held += d.low <= 0.1 <= d.high
    assert 0.91 <= held / 300 <= 0.98


def test_equal_differences_give_a_point(episode):
    policy = [episode(i, [10], True) for i in range(5)]
    baseline = [episode(i, [12], True) for i in range(5)]
    found = paired_difference(policy, baseline, seed=0)
    assert found["tokens"] == Difference(-2, -2, -2, 5)
    assert found["success"] == Difference(0, 0, 0, 5)
    assert found["tokens"].resolved
    assert not found["success"].resolved


def test_a_constant_ratio_gives_a_point_too(episode):
    """Nothing is invalid anywhere, while the numbers of turns vary: BCa has no answer, the percentile has."""
    policy = [episode(i, [10] * (1 + i % 3), True) for i in range(9)]
    baseline = [episode(i, [10] * (1 + i % 4), True) for i in range(9)]
    assert paired_difference(policy, baseline, seed=0)["invalid_action_rate"] == Difference(0, 0, 0, 9)


def test_tasks_where_one_crashed_are_left_out_of_both(episode):
    policy = [episode(0, [10], True), episode(1, [10], True), episode(2, [99], False, status=Status.CRASHED)]
    baseline = [episode(0, [20], True), episode(1, [99], True, status=Status.CRASHED), episode(2, [20], True)]
    found = paired_difference(policy, baseline, seed=0)
    assert found["tokens"].n == 1
    assert found["tokens"].mean == -10
    assert math.isnan(found["tokens"].low)
    assert not found["tokens"].resolved


def test_episodes_of_one_task_count_once(episode):
    """Four copies of every episode bring no new tasks, hence no narrower interval."""
    policy = [episode(i, [10 + i], True) for i in range(8)]
    baseline = [episode(i, [12], True) for i in range(8)]
    copies = [replace(t, id=f"{t.id}/{k}") for t in policy for k in range(4)]
    assert paired_difference(copies, baseline, seed=0) == paired_difference(policy, baseline, seed=0)


def test_no_success_in_some_resamples_leaves_the_interval_open(episode):
    policy = [episode(i, [10], i == 0) for i in range(4)]
    baseline = [episode(i, [10 + i], True) for i in range(4)]
    found = paired_difference(policy, baseline, seed=0)["tokens_per_success"]
    assert found.to_json()["low"] is None
    assert not found.resolved


def test_nothing_in_common_is_null(episode):
    crashed = [episode(0, [5], False, status=Status.CRASHED)]
    found = paired_difference(crashed, crashed, seed=0)
    data = json.dumps({name: d.to_json() for name, d in found.items()}, allow_nan=False)
    assert json.loads(data)["tokens"] == {"mean": None, "low": None, "high": None, "n": 0, "resolved": False}


def test_different_tasks_are_an_error(episode):
    with pytest.raises(DataError, match="babyai 1"):
        paired_difference([episode(0, [5], True)], [episode(1, [5], True)], seed=0)


def test_identical_runs_differ_in_timing_only(episodes):
    def entry(shift):
        a = [replace(t, extra={"seconds": t.extra["seconds"] + shift}) for t in episodes(30, 1)]
        return policy_results(summarise(a), paired_difference(a, episodes(30, 2), seed=0))

    first, second = entry(0), entry(5)
    assert first.pop("timing") != second.pop("timing")
    assert json.dumps(first, allow_nan=False) == json.dumps(second, allow_nan=False)
