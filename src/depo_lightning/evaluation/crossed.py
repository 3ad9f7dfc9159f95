"""Means and paired differences over seeds × tasks, with errors from a crossed bootstrap.

A configuration is trained with several seeds, and each trained policy plays the same tasks: seeds and tasks are
two crossed samples. The pigeonhole bootstrap (Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics
1(2), 386–411) resamples both with replacement, independently, and weighs the cell of seed s and task t by
m_s · n_t, the product of their multiplicities. Its variance of a mean estimates
σ²_seed / S + σ²_task / T + 3 σ²_cell / (S·T): no smaller than the truth for many seeds and tasks. With one seed it
is the bootstrap over tasks. With two or three seeds it takes the spread between seeds for a factor (S − 1) / S of
what it is, as every bootstrap of so few values does, and cannot go beyond the seeds it has; so intervals of differences
are widened to Student's where that is wider (`_spread`). Simulated coverage with 2 seeds is still below the nominal
where the spread between seeds is large beside that between tasks: few seeds say little.

Arrays: S seeds, T tasks, R resamples. Episodes that crashed are in no mean; a cell with one is in no difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from depo_lightning.evaluation.episode_table import EpisodeRow
from depo_lightning.evaluation.metrics import Estimate, number
from depo_lightning.trajectory import Status

RESAMPLES = 4999
_BATCH = 1000  # resamples whose task multiplicities are held as floats at once

Array = np.ndarray
Seed = int | None
Task = tuple[str, int]

_COLUMNS = ("episodes", "success", "reward", "tokens", "steps", "invalid", "won_tokens", "won_steps")
# Every metric is a ratio of two sums over episodes.
_RATIOS = {
    "success_rate": ("success", "episodes"),
    "mean_reward": ("reward", "episodes"),
    "tokens_all": ("tokens", "episodes"),
    "steps_all": ("steps", "episodes"),
    "tokens_success": ("won_tokens", "success"),
    "steps_success": ("won_steps", "success"),
    "tokens_per_step": ("tokens", "steps"),
    "invalid_action_rate": ("invalid", "steps"),
    "tokens_per_success": ("tokens", "success"),
}
CONTRASTS = ("success", "reward", "tokens", "tokens_percent", "steps", "steps_percent")


@dataclass(frozen=True, slots=True)
class Panel:
    """A policy's episodes over seeds × tasks.

    Attributes:
        seeds: training seeds, one per row.
        tasks: (environment, task), one per column.
        sums: (C, S, T), sums over the episodes of a cell that ran; the first column counts them.
        intact: (S, T), whether the cell has episodes and none of them crashed.
    """

    seeds: tuple[Seed, ...]
    tasks: tuple[Task, ...]
    sums: Array
    intact: Array

    def over(self, seeds: Sequence[Seed]) -> Panel:
        """The same over other seeds: rows chosen, put in order, empty where a seed was not measured."""
        rows = [self.seeds.index(seed) if seed in self.seeds else -1 for seed in seeds]
        known = np.array([row >= 0 for row in rows], dtype=bool)
        sums = np.where(known[:, None], self.sums[:, rows], 0.0)
        return Panel(tuple(seeds), self.tasks, sums, self.intact[rows] & known[:, None])


@dataclass(frozen=True, slots=True)
class Contrast:
    """One difference, policy minus baseline, with its percentile intervals; NaN where it is undefined.

    Attributes:
        mean: over the `tasks` and `seeds` that both have.
        low, high: 95 % interval.
        low_all, high_all: the interval at 1 − 0.05 / (number of comparisons), after Bonferroni.
        tasks, seeds: how many of each are behind it.
    """

    mean: float
    low: float
    high: float
    low_all: float
    high_all: float
    tasks: int
    seeds: int

    @property
    def resolved(self) -> bool:
        """The 95 % interval excludes 0."""
        return self.low > 0 or self.high < 0

    @property
    def resolved_all(self) -> bool:
        """The interval that allows for all comparisons excludes 0."""
        return self.low_all > 0 or self.high_all < 0

    def to_json(self) -> dict[str, Any]:
        """JSON object; NaN becomes null."""
        ends = {name: number(getattr(self, name)) for name in ("mean", "low", "high", "low_all", "high_all")}
        verdict = {"resolved": self.resolved, "resolved_all": self.resolved_all}
        return {**ends, "tasks": self.tasks, "seeds": self.seeds, **verdict}


class Bootstrap:
    """Joint resamples: the same draw of tasks, and for equally many seeds the same draw of seeds, for all panels.

    Args:
        tasks: T, the number of tasks of every panel that is given to it.
        resamples: R.
        seed: of the draws; the same seed gives the same numbers.
    """

    def __init__(self, tasks: int, resamples: int = RESAMPLES, seed: int = 0) -> None:
        self.resamples = resamples
        self._seed = seed
        self.task_counts = _counts(np.random.default_rng([seed, 0]), tasks, resamples)

    def seed_counts(self, seeds: int) -> Array:
        """Multiplicities of S seeds, shape (R, S)."""
        return _counts(np.random.default_rng([self._seed, seeds]), seeds, self.resamples)

    def totals(self, values: Array) -> Array:
        """Weighted sums over seeds and tasks of `values`, shape (…, S, T) → (R, …)."""
        *lead, seeds, tasks = values.shape
        columns = values.reshape(-1, tasks).T
        parts = []
        for start in range(0, self.resamples, _BATCH):
            batch = self.task_counts[start : start + _BATCH].astype(float)
            parts.append(batch @ columns)  # (batch, lead · S)
        sums = np.concatenate(parts).reshape(self.resamples, -1, seeds)
        weighed = np.einsum("rls,rs->rl", sums, self.seed_counts(seeds).astype(float))
        return weighed.reshape(self.resamples, *lead)


def panel(episodes: Mapping[Seed, Sequence[EpisodeRow]], tasks: Sequence[Task]) -> Panel:
    """Lay a policy's episodes out over seeds × tasks.

    Args:
        episodes: by training seed.
        tasks: the columns; episodes of other tasks are left out.
    """
    column = {task: index for index, task in enumerate(tasks)}
    sums = np.zeros((len(_COLUMNS), len(episodes), len(tasks)))
    crashed = np.zeros((len(episodes), len(tasks)), dtype=bool)
    for row, played in enumerate(episodes.values()):
        for e in played:
            if (t := column.get((e.env, e.task))) is None:
                continue
            if e.status is Status.CRASHED:
                crashed[row, t] = True
                continue
            won = e.success
            sums[:, row, t] += (1, won, e.reward, e.tokens, e.steps, e.invalid, won * e.tokens, won * e.steps)
    return Panel(tuple(episodes), tuple(tasks), sums, (sums[0] > 0) & ~crashed)


def resampled(policy: Panel, bootstrap: Bootstrap) -> dict[str, Array]:
    """Every metric of `summarise` in every resample, shape (R,); NaN where a resample leaves it undefined."""
    totals = dict(zip(_COLUMNS, bootstrap.totals(policy.sums).T, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: _finite(totals[y] / totals[x]) for name, (y, x) in _RATIOS.items()}


def estimates(policy: Panel, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Every metric of `summarise` with its bootstrap standard error; `n` counts episodes, of all seeds."""
    sums = dict(zip(_COLUMNS, policy.sums.sum(axis=(1, 2)), strict=True))
    draws = resampled(policy, bootstrap)
    found = {}
    for name, (y, x) in _RATIOS.items():
        mean = float(sums[y] / sums[x]) if sums[x] else math.nan
        n = int(sums["success" if y.startswith("won_") else "episodes"])
        found[name] = Estimate(mean, float(np.std(draws[name], ddof=1)) if n > 1 else math.nan, n)
    return found


def contrasts(policy: Panel, baseline: Panel, bootstrap: Bootstrap, comparisons: int = 1) -> dict[str, Contrast]:
    """Paired differences policy − baseline over the seeds and tasks that both have.

    Episodes of a cell are averaged first. `success`, `reward`, `tokens` and `steps` are mean differences,
    `tokens_percent` and `steps_percent` are 100 · (Σ policy / Σ baseline − 1).

    Args:
        policy: its tasks are the baseline's tasks, and as many as the bootstrap's.
        baseline: what to compare with.
        bootstrap: shared by all panels of a table.
        comparisons: how many comparisons the wider interval has to allow for.

    Returns:
        A contrast per name of `CONTRASTS`; empty without a common seed.
    """
    seeds = tuple(seed for seed in policy.seeds if seed in baseline.seeds)
    if not seeds:
        return {}
    a, b = policy.over(seeds), baseline.over(seeds)
    both = a.intact & b.intact
    ours, theirs = (np.where(both, p.sums[1:5] / np.maximum(p.sums[0], 1), 0.0) for p in (a, b))
    cells = np.stack([both.astype(float), *(ours - theirs), *theirs])
    n = int(both.any(axis=0).sum())
    point, draws = _contrast_values(cells.sum(axis=(1, 2))), _contrast_values(bootstrap.totals(cells).T)
    spread = {name: _spread(values) for name, values in _influence(cells).items()}
    return {
        name: _contrast(float(point[name]), draws[name], spread[name], comparisons, n, len(seeds)) for name in CONTRASTS
    }


def _contrast_values(sums: Array) -> dict[str, Array]:
    """From sums over cells (count; four differences; four levels of the baseline), shape (9, …)."""
    count, success, reward, tokens, steps, _, _, base_tokens, base_steps = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        means = {"success": success, "reward": reward, "tokens": tokens, "steps": steps}
        values = {name: total / count for name, total in means.items()}
        values["tokens_percent"] = 100 * tokens / base_tokens
        values["steps_percent"] = 100 * steps / base_steps
    return {name: _finite(value) for name, value in values.items()}


def _influence(cells: Array) -> dict[str, Array]:
    """What each cell adds to a contrast's deviation from its mean, shape (S, T): their average over cells is it."""
    count, *differences = cells[:5]
    base = {"tokens_percent": (differences[2], cells[7]), "steps_percent": (differences[3], cells[8])}
    pairs = {name: (d, count) for name, d in zip(("success", "reward", "tokens", "steps"), differences, strict=True)}
    scale = {"tokens_percent": 100.0, "steps_percent": 100.0}
    values = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, (y, x) in {**pairs, **base}.items():
            values[name] = scale.get(name, 1.0) * (y - y.sum() / x.sum() * x) * x.size / x.sum()
    return values


def _spread(u: Array) -> tuple[float, float]:
    """Standard error of the mean of cells of S seeds × T tasks, both random, and its degrees of freedom.

    Mean squares of the two-way layout: (MS_seeds + MS_tasks − MS_cells) / (S·T), with Satterthwaite's degrees of
    freedom (Searle, Casella and McCulloch 1992, Variance Components), at least S − 1. A seed component below 0 counts
    as 0. For one seed the error is that over tasks, with T − 1 degrees.
    """
    seeds, tasks = u.shape
    if tasks < 2 or not np.isfinite(u).all():
        return math.nan, math.nan
    ms_tasks = seeds * float(np.var(u.mean(axis=0), ddof=1))
    if seeds < 2:
        return math.sqrt(ms_tasks / tasks), tasks - 1.0
    ms_seeds = tasks * float(np.var(u.mean(axis=1), ddof=1))
    rest = u - u.mean(axis=0) - u.mean(axis=1, keepdims=True) + u.mean()
    ms_cells = float((rest**2).sum()) / ((seeds - 1) * (tasks - 1))
    total = ms_tasks + max(0.0, ms_seeds - ms_cells)
    parts = ((ms_tasks, tasks - 1), (ms_seeds, seeds - 1), (ms_cells, (seeds - 1) * (tasks - 1)))
    freedom = max(seeds - 1.0, total**2 / sum(ms**2 / df for ms, df in parts)) if total > 0 else math.nan
    return math.sqrt(total / u.size), freedom


def _contrast(
    mean: float, draws: Array, spread: tuple[float, float], comparisons: int, tasks: int, seeds: int
) -> Contrast:
    """The percentile interval, widened about its mean where Student's interval over seeds and tasks is wider.

    A bootstrap of two or three seeds cannot go beyond them. NaN ends where a resample is undefined, or where one task
    leaves nothing to resample.
    """
    tails = [0.025, 0.025 / max(1, comparisons)]
    if tasks < 2 or not np.isfinite(draws).all():
        return Contrast(mean, math.nan, math.nan, math.nan, math.nan, tasks, seeds)
    low, low_all, high, high_all = np.quantile(draws, [*tails, *(1 - tail for tail in tails)])
    error, freedom = spread
    if seeds > 1 and math.isfinite(freedom) and freedom > 0:
        half, half_all = (error * float(stats.t.isf(tail, freedom)) for tail in tails)
        low, high = min(low, mean - half), max(high, mean + half)
        low_all, high_all = min(low_all, mean - half_all), max(high_all, mean + half_all)
    return Contrast(mean, float(low), float(high), float(low_all), float(high_all), tasks, seeds)


def _counts(rng: np.random.Generator, units: int, resamples: int) -> Array:
    """How often each unit is drawn, shape (R, units): draws with replacement, as many as there are units."""
    counts = np.zeros((resamples, units), dtype=np.uint16)
    for start in range(0, resamples if units else 0, _BATCH):
        size = min(_BATCH, resamples - start)
        places = rng.integers(0, units, size=(size, units)) + units * np.arange(size)[:, None]
        counts[start : start + size] = np.bincount(places.ravel(), minlength=size * units).reshape(size, units)
    return counts


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)
