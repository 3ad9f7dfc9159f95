"""What a sweep leaves: `sweep.csv`, `sweep.md`, `pareto.json`, `pareto.png`, `pareto.html`."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depo_lightning import pareto
from depo_lightning.errors import ConfigError
from depo_lightning.evaluation.metrics import Estimate, number
from depo_lightning.files import write_atomic
from depo_lightning.sweeps.points import SweepPoint, collect_points, varied_keys

OBJECTIVES = {"success_rate": "maximize", "tokens_all": "minimize"}
_MARGIN = 0.1  # of the range, added to the worst value, so that the extremes of a front count too


@dataclass(frozen=True)
class Baseline:
    """A policy beside the swept one, as measured by `jobs`; jobs that agree share one entry."""

    policy: str
    jobs: tuple[int, ...]
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class Report:
    """A sweep and its Pareto front.

    Attributes:
        points: all jobs, in order of job number.
        objectives: objective → direction.
        keys: the override keys that vary over the sweep.
        front: indices into `points`.
        baselines: the other policies.
        reference: reference point of the hypervolume, an entry per objective; None without a finished job.
        hypervolume: of the front; 0 without a finished job.
        directory: where the files are.
    """

    points: list[SweepPoint]
    objectives: dict[str, str]
    keys: list[str]
    front: list[int]
    baselines: list[Baseline]
    reference: list[float] | None
    hypervolume: float
    directory: Path


def write_report(
    sweep_dir: str | os.PathLike[str],
    policy: str | None = None,
    objectives: Mapping[str, str] | None = None,
) -> Report:
    """Collect a sweep's points, compute the front, write table and figures into the sweep's directory.

    Args:
        sweep_dir: Hydra's sweep directory.
        policy: the policy to compare; None is the one that each job's results name as `main`.
        objectives: metric → "maximize" or "minimize", at least two; None is success up, tokens per episode down.
            The first two are drawn, the front is that of all.

    Raises:
        ConfigError: fewer than two objectives, or an unknown direction.
        DataError: no such directory. MachineError: it cannot be written.
    """
    from depo_lightning.sweeps import figures, table

    report = build_report(sweep_dir, policy, dict(objectives or OBJECTIVES))
    root = report.directory
    write_atomic(root / "sweep.csv", csv_text(report))
    write_atomic(root / "sweep.md", table.markdown(report))
    write_atomic(root / "pareto.json", json.dumps(to_json(report), indent=1, allow_nan=False) + "\n")
    figures.write_png(report, root / "pareto.png")
    figures.write_html(report, root / "pareto.html")
    return report


def build_report(sweep_dir: str | os.PathLike[str], policy: str | None, objectives: dict[str, str]) -> Report:
    """The report without its files; arguments as for `write_report`."""
    if len(objectives) < 2:
        raise ConfigError(f"objectives={objectives!r}: a front needs two objectives; add one with its direction")
    points = collect_points(sweep_dir, policy)
    names, directions = list(objectives), list(objectives.values())
    values = [point.values(names) for point in points]
    front = pareto.front(values, directions)
    baselines = _baselines(points)
    measured = [*values, *([b.metrics[name].mean for name in names] for b in baselines if _has(b, names))]
    reference = _reference(measured, directions)
    volume = 0.0 if reference is None else pareto.hypervolume([values[i] for i in front], reference, directions)
    return Report(points, objectives, varied_keys(points), front, baselines, reference, volume, Path(sweep_dir))


def csv_text(report: Report) -> str:
    """`sweep.csv`: a line per job with what varied and every metric; no times, no paths.

    The same jobs give the same text, in whatever order and with however many interruptions they ran.
    """
    metrics = sorted({name for point in report.points for name in point.metrics})
    columns = [f"{name}{end}" for name in metrics for end in ("", "_se", "_n")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", "status", *report.keys, "policy", *columns, "on_front"])
    for index, point in enumerate(report.points):
        estimates = [point.metrics.get(name) for name in metrics]
        cells = [cell for e in estimates for cell in ((number(e.mean), number(e.se), e.n) if e else (None,) * 3)]
        swept = [point.overrides.get(key) for key in report.keys]
        writer.writerow([point.job, point.status, *swept, point.policy, *cells, int(index in report.front)])
    return text.getvalue()


def to_json(report: Report) -> dict[str, Any]:
    """`pareto.json`: objectives, points with their overrides, front, baselines, hypervolume and its reference."""
    names = list(report.objectives)
    points = [
        {
            "job": point.job,
            "status": str(point.status),
            "reason": point.reason,
            "overrides": point.overrides,
            "policy": point.policy,
            "objectives": {name: point.metrics[name].to_json() for name in names if name in point.metrics},
            "on_front": index in report.front,
        }
        for index, point in enumerate(report.points)
    ]
    baselines = [
        {
            "policy": b.policy,
            "jobs": list(b.jobs),
            "objectives": {n: b.metrics[n].to_json() for n in names if n in b.metrics},
        }
        for b in report.baselines
    ]
    return {
        "objectives": [{"name": name, "direction": direction} for name, direction in report.objectives.items()],
        "points": points,
        "front": report.front,
        "hypervolume": report.hypervolume,
        "reference_point": report.reference,
        "reference_rule": f"worst value among points and baselines, worsened by {_MARGIN:.0%} of the range",
        "baselines": baselines,
    }


def _baselines(points: Sequence[SweepPoint]) -> list[Baseline]:
    """Other policies, each distinct measurement once: jobs of one sweep mostly share them."""
    found: dict[tuple[str, str], tuple[list[int], dict[str, Estimate]]] = {}
    for point in points:
        for policy, metrics in point.baselines.items():
            found.setdefault((policy, repr(metrics)), ([], metrics))[0].append(point.job)
    return [Baseline(policy, tuple(jobs), metrics) for (policy, _), (jobs, metrics) in found.items()]


def _has(baseline: Baseline, names: Sequence[str]) -> bool:
    return all(name in baseline.metrics for name in names)


def _reference(measured: Sequence[Sequence[float]], directions: Sequence[str]) -> list[float] | None:
    values = np.asarray(measured, dtype=float).reshape(-1, len(directions))
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) == 0:
        return None
    reference = []
    for column, direction in zip(values.T, directions, strict=True):
        margin = _MARGIN * (float(np.ptp(column)) or abs(float(column[0])) or 1.0)
        worse = column.min() - margin if direction == pareto.Direction.MAXIMIZE else column.max() + margin
        reference.append(float(worse))
    return reference
