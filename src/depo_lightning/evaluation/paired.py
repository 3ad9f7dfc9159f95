"""Paired differences between two policies that played the same tasks, with bootstrap intervals."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from depo_lightning.errors import DataError
from depo_lightning.evaluation.metrics import Summary, invalid_turns, number, succeeded
from depo_lightning.trajectory import Status, Trajectory

RESAMPLES = 4999
_BATCH = 500  # resamples held in memory at once

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Difference:
    """Policy minus baseline over `n` tasks, with a confidence interval; NaN where it is undefined."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def resolved(self) -> bool:
        """The interval excludes 0: the data tell the sign."""
        return self.low > 0 or self.high < 0

    def to_json(self) -> dict[str, float | int | bool | None]:
        """JSON object; NaN becomes null."""
        low, high = number(self.low), number(self.high)
        return {"mean": number(self.mean), "low": low, "high": high, "n": self.n, "resolved": self.resolved}


def paired_difference(
    policy: Iterable[Trajectory], baseline: Iterable[Trajectory], seed: int, confidence: float = 0.95
) -> dict[str, Difference]:
    """Differences policy − baseline over common tasks, with bias-corrected accelerated bootstrap intervals.

    The unit is the task: episodes of one task are averaged first, tasks are resampled together for both
    policies. A task on which either policy crashed is left out.

    Args:
        policy: episodes of the policy.
        baseline: episodes of the baseline, on the same tasks.
        seed: of the bootstrap; the same seed gives the same intervals, metric by metric.
        confidence: level of the intervals, in (0, 1).

    Returns:
        `success`, `reward`, `tokens`, `steps` (means per episode), `invalid_action_rate`, `tokens_per_step`,
        `tokens_per_success` (ratios of sums), and `tokens_percent`, `steps_percent` (relative, in %).

    Raises:
        DataError: the two did not play the same tasks.
    """
    columns, n = _pair(policy, baseline)
    result = {}
    for name, (used, statistic) in _STATISTICS.items():
        data = tuple(columns[column] for column in used)
        result[name] = _interval(data, statistic, n, seed, confidence)
    return result


def policy_results(
    summary: Summary, difference_to_bc: Mapping[str, Difference] | None = None, label: str = ""
) -> dict[str, Any]:
    """One policy's entry of `results["policies"]`, ready for JSON.

    Layout: `{"label": str, "metrics": {name: {mean, se, n}}, "counts": {name: int},
    "timing": {name: {mean, se, n}}, "difference_to_bc": {name: {mean, low, high, n, resolved}} | None}`.
    Only `timing` differs between identical runs. An empty label is read as the policy's own name.
    """
    differences = None
    if difference_to_bc is not None:
        differences = {name: difference.to_json() for name, difference in difference_to_bc.items()}
    return {"label": label, **summary.to_json(), "difference_to_bc": differences}


def _mean(x: Array, axis: int = -1) -> Array:
    return np.mean(x, axis=axis)


def _ratio_difference(y: Array, x: Array, y0: Array, x0: Array, axis: int = -1) -> Array:
    return y.sum(axis) / x.sum(axis) - y0.sum(axis) / x0.sum(axis)


def _percent(y: Array, y0: Array, axis: int = -1) -> Array:
    return 100 * (y.sum(axis) / y0.sum(axis) - 1)


_FIELDS: dict[str, Callable[[Trajectory], float]] = {
    "success": succeeded,
    "reward": lambda t: t.reward,
    "tokens": lambda t: t.agent_tokens,
    "steps": lambda t: t.t_step,
    "invalid": invalid_turns,
}
_RATIOS = {
    "invalid_action_rate": ("invalid", "steps"),
    "tokens_per_step": ("tokens", "steps"),
    "tokens_per_success": ("tokens", "success"),
}
# Columns: `f` of the policy, `f0` of the baseline, `f-` their difference.
_STATISTICS: dict[str, tuple[tuple[str, ...], Callable[..., Array]]] = {
    **{name: ((f"{name}-",), _mean) for name in ("success", "reward", "tokens", "steps")},
    **{name: ((y, x, f"{y}0", f"{x}0"), _ratio_difference) for name, (y, x) in _RATIOS.items()},
    **{f"{name}_percent": ((name, f"{name}0"), _percent) for name in ("tokens", "steps")},
}


def _pair(policy: Iterable[Trajectory], baseline: Iterable[Trajectory]) -> tuple[dict[str, Array], int]:
    """Columns of per-task means, over the tasks on which nothing crashed, in task order."""
    ours, theirs = _by_task(policy), _by_task(baseline)
    if lonely := sorted(ours.keys() ^ theirs.keys()):
        shown = ", ".join(f"{env} {task}" for env, task in lonely[:5])
        raise DataError(
            f"{len(lonely)} tasks were played by one policy only ({shown}); evaluate both policies on the same tasks"
        )
    crashed = Status.CRASHED
    tasks = [k for k in sorted(ours) if all(t.status is not crashed for t in ours[k] + theirs[k])]
    columns: dict[str, Array] = {}
    for name, field in _FIELDS.items():
        a, b = (np.array([np.mean([field(t) for t in side[k]]) for k in tasks], float) for side in (ours, theirs))
        columns |= {name: a, f"{name}0": b, f"{name}-": a - b}
    return columns, len(tasks)


def _by_task(trajectories: Iterable[Trajectory]) -> dict[tuple[str, int], list[Trajectory]]:
    groups: dict[tuple[str, int], list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        groups[trajectory.env, trajectory.task].append(trajectory)
    return groups


def _interval(
    data: tuple[Array, ...], statistic: Callable[..., Array], n: int, seed: int, confidence: float
) -> Difference:
    if n == 0:
        return Difference(math.nan, math.nan, math.nan, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = float(statistic(*data))
        if n == 1 or not math.isfinite(mean):
            return Difference(mean if math.isfinite(mean) else math.nan, math.nan, math.nan, n)
        if all(np.ptp(column) == 0 for column in data):  # every resample is the same: nothing to bootstrap
            return Difference(mean, mean, mean, n)
        low, high = _bootstrap(data, statistic, seed, confidence)
    return Difference(mean, low, high, n)


def _bootstrap(
    data: tuple[Array, ...], statistic: Callable[..., Array], seed: int, confidence: float
) -> tuple[float, float]:
    """BCa interval; the percentile interval where the correction is undefined; NaN if a resample is undefined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        result = stats.bootstrap(
            data,
            statistic,
            n_resamples=RESAMPLES,
            batch=_BATCH,
            vectorized=True,
            paired=True,
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    resamples = result.bootstrap_distribution
    if not np.isfinite(resamples).all():  # such as resamples without a success
        return math.nan, math.nan
    low, high = map(float, result.confidence_interval)
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = map(float, np.quantile(resamples, [(1 - confidence) / 2, (1 + confidence) / 2]))
    return low, high
