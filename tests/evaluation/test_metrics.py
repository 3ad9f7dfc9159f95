"""Metrics against hand-computed values and against what repeated sampling shows."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from depo_lightning.choices import METRICS
from depo_lightning.evaluation.metrics import mean_estimate, ratio_estimate, summarise
from depo_lightning.trajectory import Status


@pytest.fixture
def mixed(episode):
    return [
        episode(0, [10, 20], True, reward=0.9, seconds=1.0),
        episode(1, [30], True, reward=0.7, seconds=3.0),
        episode(2, [40, 40, 40], False, status=Status.TRUNCATED, invalid=2, seconds=5.0),
        episode(3, [999] * 9, False, status=Status.CRASHED, invalid=9, seconds=99.0),
    ]


def test_the_names_that_objectives_may_use_are_those_of_the_metrics(mixed):
    assert tuple(summarise(mixed).metrics) == METRICS


def test_metrics_by_hand(mixed):
    summary = summarise(mixed)
    means = {name: estimate.mean for name, estimate in summary.metrics.items()}
    assert means == pytest.approx(
        {
            "success_rate": 2 / 3,
            "mean_reward": 1.6 / 3,
            "tokens_all": 60,  # (30 + 30 + 120) / 3: the truncated one keeps its tokens, the crashed one has none
            "steps_all": 2,
            "tokens_success": 30,
            "steps_success": 1.5,
            "tokens_per_step": 30,  # 180 tokens / 6 turns
            "invalid_action_rate": 2 / 6,
            "tokens_per_success": 90,
        }
    )
    assert summary["tokens_all"].se == pytest.approx(math.sqrt(2700 / 3))  # s² = (900 + 900 + 3600) / 2
    assert summary["tokens_success"].n == 2
    assert summary["success_rate"].n == 3
    assert summary.counts == {"episodes": 4, "finished": 2, "truncated": 1, "crashed": 1, "successes": 2}
    assert summary.timing["seconds_per_episode"].mean == pytest.approx(3)
    assert not summary.timing.keys() & summary.metrics.keys()


def test_seconds_per_turn_weigh_turns_alike_and_err_by_episode(episode):
    """Σ seconds / Σ turns = 9 / 3; the residuals of the two episodes are −1 and 1."""
    played = [episode(0, [5], True), episode(1, [5, 5], True), episode(2, [5], False, status=Status.CRASHED)]
    for trajectory, seconds in zip(played, ([2.0], [4.0, 3.0], [99.0]), strict=True):
        trajectory.extra["turn_seconds"] = seconds
    estimate = summarise(played).timing["seconds_per_turn"]
    assert (estimate.mean, estimate.n) == (3.0, 2)
    assert estimate.se == pytest.approx(math.sqrt(2 * 2) / 3)
    assert math.isnan(summarise([episode(3, [5], True)]).timing["seconds_per_turn"].mean)


def test_a_crash_is_not_a_failure(mixed, episode):
    crashed = [episode(9, [5], False, status=Status.CRASHED)]
    assert summarise(mixed + crashed).metrics == summarise(mixed).metrics
    assert summarise(mixed + crashed).counts["crashed"] == 2


def test_a_truncated_episode_is_a_failure_whatever_its_flag_says(episode):
    summary = summarise([episode(0, [7, 7], True, status=Status.TRUNCATED), episode(1, [3], True)])
    assert summary["success_rate"].mean == 0.5
    assert summary["tokens_success"].mean == 3


def test_standard_error_of_a_rate_is_the_binomial_one():
    values = [1] * 30 + [0] * 10
    assert mean_estimate(values).se == pytest.approx(math.sqrt(0.75 * 0.25 / 39))


def test_ratio_error_agrees_with_repeated_sampling():
    """Turns of an episode go together, so the naive binomial error would be far too small."""
    rng = np.random.default_rng(0)

    def sample(n):
        turns = rng.integers(1, 12, n)
        share = rng.choice([0.05, 0.8], n)  # some episodes are nearly all invalid
        return rng.binomial(turns, share), turns

    ratios = [y.sum() / x.sum() for y, x in (sample(200) for _ in range(3000))]
    errors = [ratio_estimate(*sample(200)).se for _ in range(200)]
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.05)


def test_ratio_of_a_constant_denominator_is_a_mean():
    values = [3.0, 5.0, 10.0]
    assert ratio_estimate(values, [1, 1, 1]) == mean_estimate(values)
    assert ratio_estimate(values, [2, 2, 2]).se == pytest.approx(mean_estimate(values).se / 2)


@pytest.mark.parametrize("trajectories", [[], [None]], ids=["none", "crashed"])
def test_no_episode_gives_null_not_zero(trajectories, episode):
    given = [episode(0, [5], False, status=Status.CRASHED) for _ in trajectories]
    data = json.loads(json.dumps(summarise(given).to_json(), allow_nan=False))
    assert all(value == {"mean": None, "se": None, "n": 0} for value in data["metrics"].values())
    assert data["counts"]["crashed"] == len(given)


def test_no_success_leaves_tokens_per_success_undefined(episode):
    summary = summarise([episode(i, [10], False) for i in range(5)])
    assert summary.to_json()["metrics"]["tokens_per_success"] == {"mean": None, "se": None, "n": 5}
    assert summary.to_json()["metrics"]["tokens_success"] == {"mean": None, "se": None, "n": 0}


def test_one_episode_has_a_mean_and_no_error(episode):
    assert summarise([episode(0, [10], True)]).to_json()["metrics"]["tokens_all"] == {"mean": 10, "se": None, "n": 1}
