"""The closing table of a sweep, for the terminal, for Markdown and as plain rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from depo_lightning.evaluation.metrics import Estimate, number
from depo_lightning.evaluation.table import MISSING, plus_minus, policy_label
from depo_lightning.pareto import Direction
from depo_lightning.sweeps.points import PointStatus
from depo_lightning.sweeps.report import Report


def sweep_table(report: Report) -> Table:
    """The closing table for a terminal; points of the front carry a star and come first."""
    header, rows = _rows(report)
    table = Table(box=box.SIMPLE_HEAD, caption=_closing(report), caption_justify="left", title="sweep")
    for name in header:
        table.add_column(name, justify="left" if name == "note" else "right")
    for row in rows:
        table.add_row(*map(escape, row), style="bold" if row[0].endswith("*") else None)
    return table


def markdown(report: Report) -> str:
    """The same as GitHub Markdown."""
    header, rows = _rows(report)
    lines = [header, ["---:"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{_closing(report)}\n"


def table_rows(report: Report) -> tuple[list[str], list[list[Any]]]:
    """The points as plain values, a row each: job, what varied, objectives with standard errors, front, status."""
    names = list(report.objectives)
    header = ["job", *report.keys, *(f"{name}{end}" for name in names for end in ("", "_se")), "on_front", "status"]
    rows: list[list[Any]] = []
    for index, point in enumerate(report.points):
        estimates = [point.metrics.get(name) for name in names]
        cells = [cell for e in estimates for cell in ((number(e.mean), number(e.se)) if e else (None, None))]
        swept = [point.overrides.get(key) for key in report.keys]
        rows.append([point.job, *swept, *cells, index in report.front, str(point.status)])
    return header, rows


def _rows(report: Report) -> tuple[list[str], list[list[str]]]:
    names = list(report.objectives)
    first, up = names[0], report.objectives[names[0]] == Direction.MAXIMIZE

    def order(index: int) -> tuple[bool, bool, float]:
        value = report.points[index].values([first])[0]
        known = bool(np.isfinite(value))
        return index not in report.front, not known, (-value if up else value) if known else 0.0

    rows = []
    for index in sorted(range(len(report.points)), key=order):
        point = report.points[index]
        star = " *" if index in report.front else ""
        swept = [str(point.overrides.get(key, MISSING)) for key in report.keys]
        cells = [_cell(point.metrics.get(name)) for name in names]
        note = point.reason if point.status is not PointStatus.FINISHED else ""
        rows.append([f"{point.job}{star}", *swept, *cells, note])
    for b in report.baselines:
        cells = [_cell(b.metrics.get(name)) for name in names]
        rows.append([policy_label(b.policy), *[MISSING] * len(report.keys), *cells, "baseline"])
    return ["job", *report.keys, *names, "note"], rows


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return MISSING
    return plus_minus(estimate.to_json(), 3 if abs(estimate.mean) < 2 else 1)


def _closing(report: Report) -> str:
    finished = sum(point.status is PointStatus.FINISHED for point in report.points)
    words = ", ".join(f"{name} {direction}d" for name, direction in report.objectives.items())
    text = f"* Pareto front of {words}; {finished} of {len(report.points)} jobs finished"
    if report.reference is None:
        return f"{text}."
    bound = ", ".join(f"{value:.4g}" for value in report.reference)
    return f"{text}; hypervolume {report.hypervolume:.4g} up to ({bound})."
