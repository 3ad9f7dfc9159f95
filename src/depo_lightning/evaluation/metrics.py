"""Metrics of evaluation episodes, each with its standard error over episodes.

A crashed episode says nothing about the policy: it is counted and left out of every mean. A truncated
episode is a failure that keeps its tokens and steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from depo_lightning.trajectory import Status, Trajectory


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its standard error over `n` episodes; NaN where it is undefined (n = 0; the error of n = 1)."""

    mean: float
    se: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """JSON object; NaN becomes null."""
        return {"mean": number(self.mean), "se": number(self.se), "n": self.n}


@dataclass(frozen=True, slots=True)
class Summary:
    """All metrics of one policy.

    Attributes:
        metrics: deterministic metrics by name (see `summarise`).
        counts: episodes, finished, truncated, crashed, successes.
        timing: wall-clock metrics, kept apart because they differ between identical runs.
    """

    metrics: dict[str, Estimate]
    counts: dict[str, int]
    timing: dict[str, Estimate]

    def __getitem__(self, name: str) -> Estimate:
        return self.metrics[name]

    def to_json(self) -> dict[str, Any]:
        """`{"metrics": {name: {mean, se, n}}, "counts": {…}, "timing": {name: {mean, se, n}}}`."""
        return {
            "metrics": {name: estimate.to_json() for name, estimate in self.metrics.items()},
            "counts": dict(self.counts),
            "timing": {name: estimate.to_json() for name, estimate in self.timing.items()},
        }


def number(value: float) -> float | None:
    """The value as JSON can carry it: NaN and infinities become null."""
    return float(value) if math.isfinite(value) else None


def succeeded(trajectory: Trajectory) -> bool:
    """Success of an episode; one that was cut off is a failure."""
    return trajectory.success and trajectory.status is Status.FINISHED


def invalid_turns(trajectory: Trajectory) -> int:
    """Number of turns whose action the environment refused."""
    return sum(not step.valid for step in trajectory.steps)


def mean_estimate(values: ArrayLike) -> Estimate:
    """Mean and standard error s / sqrt(n), s with n − 1 degrees of freedom; values of shape (n,)."""
    x = np.asarray(values, dtype=float)
    n = x.size
    mean = float(x.mean()) if n else math.nan
    se = float(x.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Estimate(mean, se, n)


def ratio_estimate(numerators: ArrayLike, denominators: ArrayLike) -> Estimate:
    """Ratio of sums R = Σy / Σx over episodes, with its delta-method standard error.

    Episodes are the independent units (turns of one episode are not): the error is that of the linearised
    residuals y − R·x, sqrt(n / (n − 1) · Σ(y − R·x)²) / Σx (Cochran 1977, Sampling Techniques, Eq. 6.13).

    Args:
        numerators: y, shape (n,).
        denominators: x, shape (n,); a sum of 0 gives NaN.
    """
    y, x = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    n, total = y.size, float(x.sum())
    if total == 0:
        return Estimate(math.nan, math.nan, n)
    ratio = float(y.sum()) / total
    if n < 2:
        return Estimate(ratio, math.nan, n)
    residual = y - ratio * x
    return Estimate(ratio, math.sqrt(n / (n - 1) * float(residual @ residual)) / total, n)


def summarise(trajectories: Iterable[Trajectory]) -> Summary:
    """Metrics of method.md over evaluation episodes.

    Metrics: `success_rate`, `mean_reward`; `tokens_all`, `steps_all` (T@All, S@All: per episode, over all);
    `tokens_success`, `steps_success` (T@Succ, S@Succ: over successful ones); `tokens_per_step` (all tokens / all
    turns), `invalid_action_rate` (refused turns / all turns), `tokens_per_success` (all tokens / successes).
    Timing: `seconds_per_episode`, over episodes that carry `extra["seconds"]`; `seconds_per_turn` (all seconds / all
    turns), over those that carry `extra["turn_seconds"]`.
    """
    episodes = list(trajectories)
    ran = [t for t in episodes if t.status is not Status.CRASHED]
    wins = [t for t in ran if succeeded(t)]
    tokens, steps = _column(ran, "agent_tokens"), _column(ran, "t_step")
    metrics = {
        "success_rate": mean_estimate([succeeded(t) for t in ran]),
        "mean_reward": mean_estimate([t.reward for t in ran]),
        "tokens_all": mean_estimate(tokens),
        "steps_all": mean_estimate(steps),
        "tokens_success": mean_estimate(_column(wins, "agent_tokens")),
        "steps_success": mean_estimate(_column(wins, "t_step")),
        "tokens_per_step": ratio_estimate(tokens, steps),
        "invalid_action_rate": ratio_estimate([invalid_turns(t) for t in ran], steps),
        "tokens_per_success": ratio_estimate(tokens, [succeeded(t) for t in ran]),
    }
    return Summary(metrics, _counts(episodes, len(wins)), _timing(ran))


def _timing(ran: Sequence[Trajectory]) -> dict[str, Estimate]:
    seconds = [float(t.extra["seconds"]) for t in ran if t.extra.get("seconds") is not None]
    turns = [t.extra["turn_seconds"] for t in ran if t.extra.get("turn_seconds") is not None]
    return {
        "seconds_per_episode": mean_estimate(seconds),
        "seconds_per_turn": ratio_estimate([sum(episode) for episode in turns], [len(episode) for episode in turns]),
    }


def _column(trajectories: Sequence[Trajectory], name: str) -> list[float]:
    return [float(getattr(t, name)) for t in trajectories]


def _counts(episodes: Sequence[Trajectory], successes: int) -> dict[str, int]:
    by_status = {str(status): sum(t.status is status for t in episodes) for status in Status}
    return {"episodes": len(episodes), **by_status, "successes": successes}
