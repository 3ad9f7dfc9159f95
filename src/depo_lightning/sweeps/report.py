"""What a sweep leaves: tables, the Pareto front, differences and importances as data, as figures and as a page."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from depo_lightning import pareto
from depo_lightning.choices import OBJECTIVES as OBJECTIVES
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.evaluation.crossed import Bootstrap
from depo_lightning.files import write_atomic
from depo_lightning.sweeps.baselines import Baseline, collect_baselines
from depo_lightning.sweeps.configurations import Configuration, all_tasks, configurations, spans
from depo_lightning.sweeps.differences import (
    ComparisonTable,
    against_baseline,
    among,
    front_shares,
    resamples_for,
)
from depo_lightning.sweeps.importance import importance
from depo_lightning.sweeps.points import UNREADABLE, PointStatus, SweepPoint, collect_points, unreadable, varied_keys

MARGIN = 0.1  # of the range, added to the worst value, so that the extremes of a front count too


@dataclass(frozen=True)
class Report:
    """A sweep and its Pareto front.

    Attributes:
        points: the configurations, in order of their lowest job number.
        jobs: all jobs, in order of job number.
        objectives: objective → direction.
        keys: the override keys that vary over the configurations.
        front: indices into `points`.
        baselines: the other policies.
        reference: reference point of the hypervolume, an entry per objective; None without a measured point.
        hypervolume: of the front; 0 without a measured point.
        hypervolume_history: the same of the first, the first two … configurations.
        front_share: per configuration the share of joint bootstrap resamples in which it is on the front; None
            where that cannot be told.
        differences: to BC, and among configurations.
        importance: objective → parameter → share.
        importance_reasons: objective → why it has no importances.
        notes: what a reader has to know about the data.
        directory: where the files are.
    """

    points: list[Configuration]
    jobs: list[SweepPoint]
    objectives: dict[str, str]
    keys: list[str]
    front: list[int]
    baselines: list[Baseline]
    reference: list[float] | None
    hypervolume: float
    directory: Path
    hypervolume_history: list[float] = field(default_factory=list)
    front_share: list[float | None] = field(default_factory=list)
    differences: list[ComparisonTable] = field(default_factory=list)
    importance: dict[str, dict[str, float]] = field(default_factory=dict)
    importance_reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def seeded(self) -> bool:
        """Whether the sweep repeats configurations."""
        return any(len(point.jobs) > 1 for point in self.points)

    @property
    def trials(self) -> bool:
        """Whether the jobs belong to trials of a study."""
        return any(point.trial for point in self.points)


def write_report(
    sweep_dir: str | os.PathLike[str],
    policy: str | None = None,
    objectives: Mapping[str, str] | None = None,
    reference: Mapping[str, Any] | None = None,
) -> Report:
    """Collect a sweep's points, compute the front, write tables and figures into the sweep's directory.

    Args:
        sweep_dir: Hydra's sweep directory.
        policy: the policy to compare; None is the one that each job's results name as `main`.
        objectives: metric → "maximize" or "minimize", at least two; None is what the sweep itself optimised, else
            success up, tokens per episode down. The first two are drawn, the front is that of all.
        reference: swept values of the configuration that others are compared with; None is the first.

    Raises:
        ConfigError: fewer than two objectives, an unknown direction, no such reference, or a policy or metric
            that no job's results have. Nothing is written then.
        DataError: no such directory. MachineError: it cannot be written.
    """
    from depo_lightning.sweeps import figures, formats, latex, page, table

    wanted, notes = (dict(objectives), []) if objectives else _default_objectives(sweep_dir)
    report = build_report(sweep_dir, policy, wanted, reference)
    report = replace(report, notes=[*notes, *report.notes])
    root = report.directory
    write_atomic(root / "sweep.csv", formats.csv_text(report))
    write_atomic(root / "configurations.csv", formats.configurations_csv(report))
    write_atomic(root / "sweep.md", table.markdown(report))
    write_atomic(root / "sweep.tex", latex.latex_text(report))
    write_atomic(root / "pareto.json", json.dumps(formats.to_json(report), indent=1, allow_nan=False) + "\n")
    figures.write_pngs(report, root)
    page.write_html(report, root / "pareto.html")
    return report


def build_report(
    sweep_dir: str | os.PathLike[str],
    policy: str | None,
    objectives: dict[str, str],
    reference: Mapping[str, Any] | None = None,
) -> Report:
    """The report without its files; arguments as for `write_report`."""
    if len(objectives) < 2:
        raise ConfigError(f"objectives={objectives!r}: a front needs two objectives; add one with its direction")
    jobs = collect_points(sweep_dir, policy)
    _check_names(jobs, policy, objectives)
    tasks = all_tasks(jobs)
    bootstrap = Bootstrap(len(tasks), resamples_for(len(jobs)) if tasks else 0)
    points = configurations(jobs, bootstrap, tasks)
    keys = varied_keys(points)
    names, directions = list(objectives), list(objectives.values())
    baselines = collect_baselines(points, bootstrap, tasks)
    values = [point.values(names) if point.eligible else [np.nan] * len(names) for point in points]
    front = pareto.front(values, directions)
    drawn = [point.values(names) for point in points] + [
        [b.metrics[name].mean for name in names] for b in baselines if all(name in b.metrics for name in names)
    ]
    bound = _reference(drawn, directions)
    history = [_volume(values[: n + 1], bound, directions) for n in range(len(values))]
    shares, reasons = importance(points, keys, objectives)
    return Report(
        points=points,
        jobs=jobs,
        objectives=objectives,
        keys=keys,
        front=front,
        baselines=baselines,
        reference=bound,
        hypervolume=history[-1] if history else 0.0,
        directory=Path(sweep_dir),
        hypervolume_history=history,
        front_share=front_shares(points, objectives, bootstrap),
        differences=[against_baseline(points, keys, bootstrap), among(points, keys, bootstrap, reference)],
        importance=shares,
        importance_reasons=reasons,
        notes=_notes(jobs, points),
    )


def sweep_objectives(sweep_dir: str | os.PathLike[str]) -> dict[str, str]:
    """What the sweep itself optimises, from the `multirun.yaml` that Hydra leaves; empty if it says nothing.

    Raises:
        ConfigError: `hydra.sweeper.objectives` is no mapping of metrics to directions.
        DataError: the file cannot be read.
    """
    path = Path(sweep_dir) / "multirun.yaml"
    if not path.is_file():
        return {}
    try:
        found = OmegaConf.select(OmegaConf.load(path), "hydra.sweeper.objectives")
    except UNREADABLE as error:
        raise DataError(unreadable(path.name, error)) from error
    if found is None:
        return {}
    if not OmegaConf.is_dict(found):
        raise ConfigError(f"{path}: hydra.sweeper.objectives={found!r}: expected metric: maximize or minimize")
    return {str(name): str(direction).lower() for name, direction in found.items()}


def _default_objectives(sweep_dir: str | os.PathLike[str]) -> tuple[dict[str, str], list[str]]:
    """The sweep's own objectives, else the usual ones; and a note where the sweep's cannot be read."""
    try:
        return sweep_objectives(sweep_dir) or dict(OBJECTIVES), []
    except DataError as error:
        return dict(OBJECTIVES), [f"{error.faults[0]}; these are the default objectives"]


def _check_names(jobs: Sequence[SweepPoint], policy: str | None, objectives: Mapping[str, str]) -> None:
    """Refuse a policy and metrics that are in no job's results: a mistyped name must not empty a report."""
    policies = sorted({name for job in jobs for name in job.policies})
    if policy and policies and policy not in policies:
        raise ConfigError(f"policy={policy!r}: no job's results have it; give one of {', '.join(policies)}")
    metrics = sorted({name for job in jobs for name in job.metrics})
    absent = [name for name in objectives if metrics and name not in metrics]
    if absent:
        rest = f"no job's results have it; give some of {', '.join(metrics)}"
        raise ConfigError(f"objective {name!r}: {rest}" for name in absent)


def _volume(values: Sequence[Sequence[float]], bound: list[float] | None, directions: Sequence[str]) -> float:
    """Of the finite points, as the reference is."""
    finite = [row for row in values if np.isfinite(row).all()]
    return 0.0 if bound is None else pareto.hypervolume(finite, bound, directions)


def _notes(jobs: Sequence[SweepPoint], points: Sequence[Configuration]) -> list[str]:
    """Faults of the jobs' files, alike ones together; seeds that some configurations lack."""
    faults: dict[str, list[int]] = {}
    for job in jobs:
        if job.fault:
            faults.setdefault(job.fault, []).append(job.job)
    notes = [f"job{'s' if len(n) > 1 else ''} {spans(n)}: {fault}" for fault, n in faults.items()]
    counts = sorted({len(point.seeds) for point in points if point.status is PointStatus.FINISHED})
    if len(counts) > 1:
        notes.append(f"means are over {counts[0]} to {counts[-1]} seeds; differences are over common seeds")
    return notes


def _reference(measured: Sequence[Sequence[float]], directions: Sequence[str]) -> list[float] | None:
    values = np.asarray(measured, dtype=float).reshape(-1, len(directions))
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) == 0:
        return None
    reference = []
    for column, direction in zip(values.T, directions, strict=True):
        margin = MARGIN * (float(np.ptp(column)) or abs(float(column[0])) or 1.0)
        worse = column.min() - margin if direction == pareto.Direction.MAXIMIZE else column.max() + margin
        reference.append(float(worse))
    return reference
