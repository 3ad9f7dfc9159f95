"""A report as data: `sweep.csv`, `configurations.csv`, `pareto.json`. No times, no paths, nothing random."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from depo_lightning.evaluation.metrics import Estimate, number
from depo_lightning.sweeps.configurations import Configuration
from depo_lightning.sweeps.differences import ComparisonTable
from depo_lightning.sweeps.points import SweepPoint, varied_keys
from depo_lightning.sweeps.report import MARGIN, Report


def csv_text(report: Report) -> str:
    """`sweep.csv`: a line per job with what varied and every metric.

    The same jobs give the same text, in whatever order and with however many interruptions they ran.
    """
    keys = varied_keys(report.jobs)
    metrics = _metric_names(report.jobs)
    on_front = {number for index in report.front for number in report.points[index].numbers}
    rows: list[list[Any]] = [
        ["job", "status", *keys, "policy", *_metric_columns(metrics), "on_front", *_trial_columns(report)]
    ]
    for job in report.jobs:
        swept = [job.overrides.get(key) for key in keys]
        cells = _metric_cells(job.metrics, metrics)
        last = [int(job.job in on_front), *_trial_cells(report, job)]
        rows.append([job.job, job.status, *swept, job.policy, *cells, *last])
    return _csv(rows)


def configurations_csv(report: Report) -> str:
    """`configurations.csv`: a line per configuration, with means over its seeds."""
    metrics = _metric_names(report.points)
    head = ["job", "jobs", "seeds", "status", *report.keys, "policy", *_metric_columns(metrics)]
    rows: list[list[Any]] = [[*head, "on_front", "front_share", *_trial_columns(report)]]
    for index, point in enumerate(report.points):
        swept = [point.overrides.get(key) for key in report.keys]
        first: list[Any] = [point.job, " ".join(map(str, point.numbers)), len(point.seeds), point.status]
        last = [int(index in report.front), report.front_share[index], *_trial_cells(report, point)]
        rows.append([*first, *swept, point.policy, *_metric_cells(point.metrics, metrics), *last])
    return _csv(rows)


def to_json(report: Report) -> dict[str, Any]:
    """`pareto.json`: objectives, configurations, front, hypervolume, differences, importances, and the raw jobs.

    `front` and the `point` and `other` of a difference are indices into `points`.
    """
    names = list(report.objectives)
    return {
        "objectives": [{"name": name, "direction": direction} for name, direction in report.objectives.items()],
        "points": [_point(report, index) for index in range(len(report.points))],
        "front": report.front,
        "hypervolume": report.hypervolume,
        "reference_point": report.reference,
        "reference_rule": f"worst value among points and baselines, worsened by {MARGIN:.0%} of the range",
        "hypervolume_history": [
            {"job": point.job, "hypervolume": volume, **({"trial": point.trial.number} if point.trial else {})}
            for point, volume in zip(report.points, report.hypervolume_history, strict=True)
        ],
        "baselines": [
            {
                "policy": b.policy,
                "jobs": list(b.jobs),
                "seeds": _known(b.seeds),
                "objectives": _objectives(b.metrics, names),
            }
            for b in report.baselines
        ],
        "differences": [_differences(table) for table in report.differences],
        "importance": report.importance,
        "importance_absent": report.importance_reasons,
        "constraints": sorted({name for p in report.points if p.trial for name in p.trial.constraints}),
        "notes": report.notes,
        "jobs": [_job(job, names) for job in report.jobs],
    }


def _point(report: Report, index: int) -> dict[str, Any]:
    point = report.points[index]
    entry = {
        "job": point.job,
        "status": str(point.status),
        "reason": point.reason,
        "overrides": point.overrides,
        "policy": point.policy,
        "objectives": _objectives(point.metrics, list(report.objectives)),
        "on_front": index in report.front,
        "jobs": list(point.numbers),
        "seeds": _known(point.seeds),
        "front_share": report.front_share[index],
    }
    if (trial := point.trial) is not None:
        constraints = {name: number(value) for name, value in trial.constraints.items()}
        entry["trial"] = {
            "study": trial.study,
            "number": trial.number,
            "state": str(trial.state),
            "warm_start": trial.warm_start,
        }
        entry |= {"constraints": constraints, "feasible": not point.violated}
    return entry


def _job(job: SweepPoint, names: Sequence[str]) -> dict[str, Any]:
    return {
        "job": job.job,
        "status": str(job.status),
        "reason": job.reason,
        "overrides": job.overrides,
        "policy": job.policy,
        "seed": job.seed,
        "objectives": _objectives(job.metrics, names),
        **({"trial": job.trial.number} if job.trial else {}),
    }


def _differences(table: ComparisonTable) -> dict[str, Any]:
    rows = [
        {
            "point": row.point,
            "label": row.label,
            "other": row.other,
            "against": row.against,
            "differences": {name: contrast.to_json() for name, contrast in row.contrasts.items()},
        }
        for row in table.rows
    ]
    return {"title": table.title, "note": table.note, "comparisons": table.comparisons, "rows": rows}


def _objectives(metrics: Mapping[str, Estimate], names: Sequence[str]) -> dict[str, Any]:
    return {name: metrics[name].to_json() for name in names if name in metrics}


def _known(seeds: Sequence[int | None]) -> list[int]:
    return [seed for seed in seeds if seed is not None]


def _metric_names(points: Sequence[SweepPoint] | Sequence[Configuration]) -> list[str]:
    return sorted({name for point in points for name in point.metrics})


def _metric_columns(metrics: Sequence[str]) -> list[str]:
    return [f"{name}{end}" for name in metrics for end in ("", "_se", "_n")]


def _metric_cells(found: Mapping[str, Estimate], metrics: Sequence[str]) -> list[Any]:
    estimates = [found.get(name) for name in metrics]
    return [cell for e in estimates for cell in ((number(e.mean), number(e.se), e.n) if e else (None,) * 3)]


def _trial_columns(report: Report) -> list[str]:
    return ["trial", "state", "violated"] if report.trials else []


def _trial_cells(report: Report, point: SweepPoint | Configuration) -> list[Any]:
    if not report.trials:
        return []
    trial = point.trial
    return [trial.number, trial.state, " ".join(trial.violated)] if trial else [None, None, None]


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
