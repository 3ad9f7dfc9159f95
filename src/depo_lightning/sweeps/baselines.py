"""The policies beside the swept one: what all configurations share stands once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from depo_lightning.evaluation.crossed import Bootstrap, Seed, Task, panel
from depo_lightning.evaluation.metrics import Estimate
from depo_lightning.sweeps.configurations import Configuration, mean_over_seeds
from depo_lightning.sweeps.points import PointStatus, SweepPoint


@dataclass(frozen=True)
class Baseline:
    """A policy beside the swept one, as measured by `jobs`; jobs that agree share one entry."""

    policy: str
    jobs: tuple[int, ...]
    metrics: dict[str, Estimate]
    seeds: tuple[Seed, ...] = ()


@dataclass(frozen=True)
class _Entry:
    policy: str
    jobs: list[int]
    by_seed: dict[Seed, SweepPoint]


def collect_baselines(points: Sequence[Configuration], bootstrap: Bootstrap, tasks: Sequence[Task]) -> list[Baseline]:
    """Other policies, each distinct measurement once; configurations agree if they do on the seeds they share."""
    entries: list[_Entry] = []
    for point in points:
        jobs = [job for job in point.jobs if job.status is PointStatus.FINISHED]
        for policy in dict.fromkeys(name for job in jobs for name in job.baselines):
            measured = [job for job in jobs if policy in job.baselines]
            entry = next((e for e in entries if e.policy == policy and _agree(e, measured)), None)
            if entry is None:
                entry = _Entry(policy, [], {})
                entries.append(entry)
            for job in measured:
                entry.jobs.append(job.job)
                entry.by_seed.setdefault(job.seed, job)
    return [_mean(entry, bootstrap, tasks) for entry in entries]


def _agree(entry: _Entry, jobs: Sequence[SweepPoint]) -> bool:
    common = [job for job in jobs if job.seed in entry.by_seed]
    name = entry.policy
    return bool(common) and all(repr(j.baselines[name]) == repr(entry.by_seed[j.seed].baselines[name]) for j in common)


def _mean(entry: _Entry, bootstrap: Bootstrap, tasks: Sequence[Task]) -> Baseline:
    name = entry.policy
    measured = sorted(entry.by_seed.values(), key=lambda job: (job.seed is None, job.seed or 0))
    played = None
    if all(job.episodes.get(name) for job in measured):
        played = panel({job.seed: job.episodes[name] for job in measured}, tasks)
    metrics = mean_over_seeds([job.baselines[name] for job in measured], played, bootstrap)
    return Baseline(name, tuple(sorted(entry.jobs)), metrics, tuple(job.seed for job in measured))
