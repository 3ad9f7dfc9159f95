"""Configurations: the jobs of a sweep that differ in nothing but their training seed, and their means over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from depo_lightning.evaluation.crossed import Bootstrap, Panel, Seed, Task, estimates, panel
from depo_lightning.evaluation.metrics import Estimate
from depo_lightning.sweeps.points import SEED, PointStatus, SweepPoint
from depo_lightning.sweeps.trials import Trial, TrialState

_SHORT = {"alpha1": "α1", "alpha2": "α2"}
_LONG = 40  # letters of a label, above which a trial's number is easier to read
_NO_FRONT = (TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Configuration:
    """A point of the sweep.

    Attributes:
        overrides: what its jobs changed, key → value; without the seed where the sweep varies it.
        jobs: its jobs, in order of job number.
        seeds: the training seeds that were measured.
        metrics: means of the swept policy over seeds and episodes; empty without a finished job.
        policy: the swept policy's name.
        status: finished if a job is, else what became of its first job; pruned or failed as its trial was.
        reason: why there are no results, or not all, or why these do not count yet.
        baselines: the same means of the jobs' other policies.
        panels: episodes over seeds × tasks, by policy; empty where a measured job left no `episodes.csv`.
        trial: its trial; None in a sweep without trials.
        partial: whether it is measured in part: its trial runs, or others have more seeds.
    """

    overrides: dict[str, Any]
    jobs: tuple[SweepPoint, ...]
    seeds: tuple[Seed, ...]
    metrics: dict[str, Estimate]
    policy: str
    status: PointStatus
    reason: str
    baselines: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    panels: dict[str, Panel] = field(default_factory=dict, repr=False)
    trial: Trial | None = None
    partial: bool = False

    @property
    def known(self) -> bool:
        """Whether its overrides could be read."""
        return any(point.known for point in self.jobs)

    @property
    def job(self) -> int:
        """The lowest of its job numbers."""
        return self.jobs[0].job

    @property
    def directory(self) -> Path:
        """The directory of that job."""
        return self.jobs[0].directory

    @property
    def numbers(self) -> tuple[int, ...]:
        """All its job numbers."""
        return tuple(point.job for point in self.jobs)

    @property
    def violated(self) -> list[str]:
        """The constraints that it violates."""
        return self.trial.violated if self.trial else []

    @property
    def eligible(self) -> bool:
        """Whether it may be on the front: measured as fully as others, feasible, neither pruned nor failed."""
        return self.status is PointStatus.FINISHED and not self.partial and not self.violated

    def values(self, objectives: Sequence[str]) -> list[float]:
        """Means of the objectives, NaN where there is none."""
        return [self.metrics[name].mean if name in self.metrics else math.nan for name in objectives]

    def label(self, keys: Sequence[str]) -> str:
        """The overrides of `keys` in words: `α1 = 3, α2 = 1`; the trial's or the job's number where that is clearer."""
        known = {_SHORT.get(key, key): self.overrides[key] for key in keys if key in self.overrides}
        words = ", ".join(f"{key} = {plain(value, 3 if self.trial else 6)}" for key, value in known.items())
        if self.trial and not 0 < len(words) <= _LONG:
            return f"trial {self.trial.number}"
        return words or f"job {spans(self.numbers)}"


def plain(value: Any, digits: int = 6) -> str:
    """A swept value for people: long fractions are cut."""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def spans(numbers: Sequence[int]) -> str:
    """Ascending numbers in short: `0-2,7`."""
    parts: list[list[int]] = []
    for value in numbers:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}{'-' if len(p) > 2 else ','}{p[-1]}" for p in parts)


def all_tasks(jobs: Sequence[SweepPoint]) -> list[Task]:
    """Every task that a job of the sweep has played, sorted."""
    return sorted({(e.env, e.task) for job in jobs for played in job.episodes.values() for e in played})


def configurations(jobs: Sequence[SweepPoint], bootstrap: Bootstrap, tasks: Sequence[Task]) -> list[Configuration]:
    """Group jobs that differ in their seed alone (in a study: the jobs of one trial), and average over seeds.

    A job whose overrides cannot be read belongs to its trial's others; without a trial it stands alone.

    Args:
        jobs: all jobs of the sweep, in order of job number.
        bootstrap: over `tasks`.
        tasks: `all_tasks(jobs)`.
    """
    key = _repeated_key(jobs)
    if key != SEED:
        jobs = [replace(job, seed=job.overrides.get(key)) for job in jobs]
    varied = len({repr(job.overrides.get(key)) for job in jobs if job.known}) > 1
    of_trial = {job.trial.number: job.overrides for job in reversed(jobs) if job.trial and job.known}
    groups: dict[str, list[SweepPoint]] = {}
    for job in jobs:
        trial = job.trial.number if job.trial else None
        overrides = job.overrides if job.known else of_trial.get(trial) if trial is not None else None
        rest = _without(overrides, key) if varied and overrides else overrides
        name = repr((trial, job.directory.name if rest is None else sorted(rest.items())))
        groups.setdefault(name, []).append(job)
    points = [_aggregate(group, key if varied else None, bootstrap, tasks) for group in groups.values()]
    most = max((len(point.seeds) for point in points), default=0)
    return [_held_back(point, most) for point in points]


def _held_back(point: Configuration, most: int) -> Configuration:
    """Mark a configuration that is not measured as fully as the others, so that a front compares like with like."""
    if point.status is not PointStatus.FINISHED:
        return point
    count = len(point.seeds)
    reasons = ["running"] if any(job.trial and job.trial.state is TrialState.RUNNING for job in point.jobs) else []
    reasons += [f"{count} of {most} seeds"] if count < most else []
    if not reasons:
        return point
    known = point.reason.removeprefix(f"{count} of {most} jobs; ")
    return replace(point, partial=True, reason="; ".join([*reasons, *([known] if known else [])]))


def _repeated_key(jobs: Sequence[SweepPoint]) -> str:
    """The key that repeats a configuration: the seed, unless the study's trials repeat themselves by another."""
    by_trial: dict[int, list[dict[str, Any]]] = {}
    for job in jobs:
        if job.trial and job.known:
            by_trial.setdefault(job.trial.number, []).append(job.overrides)
    keys = {
        key for group in by_trial.values() for key in group[0] if any(o.get(key) != group[0][key] for o in group[1:])
    }
    return SEED if len(keys) != 1 else keys.pop()


def _aggregate(
    jobs: Sequence[SweepPoint], repeated: str | None, bootstrap: Bootstrap, tasks: Sequence[Task]
) -> Configuration:
    overrides = next((job.overrides for job in jobs if job.known), {})
    overrides = _without(overrides, repeated) if repeated else overrides
    by_seed: dict[Seed, SweepPoint] = {}  # a job that repeats another's seed repeats its numbers, and adds nothing
    for job in jobs:
        if job.status is PointStatus.FINISHED:
            by_seed.setdefault(job.seed, job)
    measured = [by_seed[seed] for seed in sorted(by_seed, key=lambda seed: (seed is None, seed or 0))]
    trial = next((job.trial for job in jobs if job.trial), None)
    status, reason = _status(jobs, trial)
    policy = measured[0].policy if measured else ""
    seeds = tuple(job.seed for job in measured)
    found = Configuration(overrides, tuple(jobs), seeds, {}, policy, status, reason, trial=trial)
    if not measured:
        return found
    tables = {policy: [job.metrics for job in measured]}
    for name in measured[0].baselines:
        if all(name in job.baselines for job in measured):
            tables[name] = [job.baselines[name] for job in measured]
    panels = {}
    for name in tables:
        if all(job.episodes.get(name) for job in measured):
            panels[name] = panel({job.seed: job.episodes[name] for job in measured}, tasks)
    means = {name: mean_over_seeds(table, panels.get(name), bootstrap) for name, table in tables.items()}
    return replace(found, metrics=means.pop(policy), baselines=means, panels=panels)


def _without(overrides: Mapping[str, Any], left_out: str) -> dict[str, Any]:
    return {key: value for key, value in overrides.items() if key != left_out}


def _status(jobs: Sequence[SweepPoint], trial: Trial | None) -> tuple[PointStatus, str]:
    unfinished = [job for job in jobs if job.status is not PointStatus.FINISHED]
    if trial and trial.state in _NO_FRONT:
        status = PointStatus.PRUNED if trial.state is TrialState.PRUNED else PointStatus.FAILED
        return status, trial.reason or next((job.reason for job in unfinished if job.reason), "")
    if len(unfinished) == len(jobs):
        return unfinished[0].status, unfinished[0].reason
    if not unfinished:
        return PointStatus.FINISHED, ""
    lost = ", ".join(f"job {job.job} {job.status}: {job.reason}" for job in unfinished)
    return PointStatus.FINISHED, f"{len(jobs) - len(unfinished)} of {len(jobs)} jobs; {lost}"


def mean_over_seeds(
    tables: Sequence[dict[str, Estimate]], played: Panel | None, bootstrap: Bootstrap
) -> dict[str, Estimate]:
    """One job's own numbers; over several seeds the crossed bootstrap's, or what the jobs' numbers tell without it."""
    if len(tables) == 1:
        return tables[0]
    known = [name for name in tables[0] if all(name in table for table in tables)]
    found = {name: _pool([table[name] for table in tables]) for name in known}
    return found if played is None else {**found, **estimates(played, bootstrap)}


def _pool(parts: Sequence[Estimate]) -> Estimate:
    """Mean of the seeds' means. Its error adds the spread between seeds to that of a seed's episodes.

    Tasks are shared, so that their share of the error does not shrink with the number of seeds; the sum is on the
    safe side, as it counts what is left over from both twice.
    """
    means, errors = (np.array([getattr(e, name) for e in parts]) for name in ("mean", "se"))
    between = float(means.var(ddof=1)) / len(parts)
    return Estimate(float(means.mean()), math.sqrt(between + float((errors**2).mean())), sum(e.n for e in parts))
