"""The closing tables of a sweep, for the terminal, for Markdown and as plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from depo_lightning.evaluation.crossed import CONTRASTS, Contrast
from depo_lightning.evaluation.metrics import Estimate, number
from depo_lightning.evaluation.table import DIFFERENCES, MISSING, plus_minus, policy_label
from depo_lightning.pareto import Direction
from depo_lightning.sweeps.configurations import Configuration, plain, spans
from depo_lightning.sweeps.differences import ComparisonTable
from depo_lightning.sweeps.points import PointStatus
from depo_lightning.sweeps.report import Report

Cells = tuple[list[str], list[list[str]]]  # header and rows

CONTRAST_FORMS = {name: DIFFERENCES[name] for name in CONTRASTS}  # name shown, decimals
_MOST_ROWS = 12  # of a table of differences on a terminal
_TERMINAL = ("success", "tokens", "tokens_percent", "steps_percent")  # as many as 100 columns hold


def sweep_table(report: Report) -> Table:
    """The table of configurations for a terminal; those of the front carry a star and come first."""
    header, rows = configuration_cells(report)
    table = _table(closing(report), title="sweep")
    for name in header:
        table.add_column(escape(name), justify="left" if name == "note" else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row), style="bold" if row[0].endswith("*") else None)
    return table


def closing_tables(report: Report) -> Group:
    """What a sweep ends with on a terminal: configurations, differences (of many, those of the front), notes."""
    tables = [_on_front(table, report) for table in report.differences]
    parts = [_difference_table(table) if table.rows else escape(table.note) for table in tables]
    hidden = sum(len(table.rows) for table in report.differences) - sum(len(table.rows) for table in tables)
    rest = [f"{hidden} more differences, of configurations that are not on the front: sweep.md"] if hidden else []
    return Group(sweep_table(report), *parts, *rest, *map(escape, report.notes))


def markdown(report: Report) -> str:
    """Configurations, all their differences and notes as GitHub Markdown."""
    parts = [_markdown(*configuration_cells(report)), closing(report)]
    for table in report.differences:
        parts += [_markdown(*difference_cells(table))] if table.rows else []
        parts.append(table.note.replace("*", "\\*"))
    return "\n\n".join([*parts, *report.notes]) + "\n"


def table_rows(report: Report) -> tuple[list[str], list[list[Any]]]:
    """The configurations as plain values, a row each: job, what varied, objectives with errors, front, status."""
    names = list(report.objectives)
    header = ["job", *report.keys, *(f"{name}{end}" for name in names for end in ("", "_se")), "on_front", "status"]
    rows: list[list[Any]] = []
    for index, point in enumerate(report.points):
        estimates = [point.metrics.get(name) for name in names]
        cells = [cell for e in estimates for cell in ((number(e.mean), number(e.se)) if e else (None, None))]
        swept = [point.overrides.get(key) for key in report.keys]
        rows.append([point.job, *swept, *cells, index in report.front, str(point.status)])
    return header, rows


def configuration_cells(report: Report) -> Cells:
    """The table of configurations as text, those of the front first, then the baselines."""
    names = list(report.objectives)
    shares = any(share is not None for share in report.front_share)
    extra = [*report.keys, *(["seeds"] if report.seeded else [])]
    digits = 3 if report.trials else 6  # suggested values are of any length
    header = ["trial" if report.trials else "job", *extra, *names, *(["front share"] if shares else []), "note"]
    rows = []
    for index in table_order(report):
        point, share = report.points[index], report.front_share[index]
        star = " *" if index in report.front else ""
        first = spans(point.numbers)
        if report.trials:
            first = str(point.trial.number) if point.trial else f"job {first}"
        swept = [plain(point.overrides[key], digits) if key in point.overrides else MISSING for key in report.keys]
        seeds = [str(len(point.seeds))] if report.seeded else []
        cells = [estimate_cell(point.metrics.get(name)) for name in names]
        cells += [MISSING if share is None else f"{share:.2f}"] if shares else []
        rows.append([f"{first}{star}", *swept, *seeds, *cells, note_of(point)])
    for b in report.baselines:
        cells = [estimate_cell(b.metrics.get(name)) for name in names] + ([MISSING] if shares else [])
        blank = [MISSING] * (len(extra) - report.seeded) + ([str(len(b.seeds))] if report.seeded else [])
        rows.append([policy_label(b.policy), *blank, *cells, "baseline"])
    return header, rows


def difference_cells(table: ComparisonTable, names: Sequence[str] = CONTRASTS) -> Cells:
    """A table of differences as text: a row per comparison."""
    header = [table.title, *(CONTRAST_FORMS[name][0] for name in names)]
    rows = []
    for label, row in zip(table.labels, table.rows, strict=True):
        rows.append([label, *(contrast_cell(row.contrasts[n], CONTRAST_FORMS[n][1]) for n in names)])
    return header, rows


def contrast_cell(contrast: Contrast, decimals: int) -> str:
    """`+0.021 * [+0.004, +0.046]`; one star without 0, two if that holds after Bonferroni's correction."""
    if not np.isfinite(contrast.mean):
        return MISSING
    mean = f"{contrast.mean:+.{decimals}f}"
    if not np.isfinite(contrast.low):
        return mean
    stars = " **" if contrast.resolved_all else " *" if contrast.resolved else ""
    return f"{mean}{stars} [{contrast.low:+.{decimals}f}, {contrast.high:+.{decimals}f}]"


def estimate_cell(estimate: Estimate | None) -> str:
    """`0.746 ± 0.015`; a dash where nothing was measured."""
    if estimate is None:
        return MISSING
    return plus_minus(estimate.to_json(), 3 if abs(estimate.mean) < 2 else 1)


def note_of(point: Configuration) -> str:
    """Why a configuration has no results or cannot be on the front."""
    broken = ", ".join(dict.fromkeys(name.partition(" ")[0] for name in point.violated))  # names may carry a number
    parts = [f"infeasible: {broken}"] if broken and point.metrics else []
    if point.status is PointStatus.PRUNED:
        parts.append(f"pruned: {point.reason}" if point.reason else "pruned")
    elif point.reason:
        parts.append(point.reason)
    return "; ".join(parts)


def table_order(report: Report) -> list[int]:
    """Indices of the points: those of the front first, then by the first objective."""
    first, up = next(iter(report.objectives)), next(iter(report.objectives.values())) == Direction.MAXIMIZE

    def order(index: int) -> tuple[bool, bool, float]:
        value = report.points[index].values([first])[0]
        known = bool(np.isfinite(value))
        return index not in report.front, not known, (-value if up else value) if known else 0.0

    return sorted(range(len(report.points)), key=order)


def closing(report: Report) -> str:
    """What stands under the table of configurations."""
    finished = sum(job.status is PointStatus.FINISHED for job in report.jobs)
    words = ", ".join(f"{name} {direction}d" for name, direction in report.objectives.items())
    text = f"* Pareto front of {words}; {finished} of {len(report.jobs)} jobs finished"
    if report.reference is not None:
        bound = ", ".join(f"{value:.4g}" for value in report.reference)
        text += f"; hypervolume {report.hypervolume:.4g} up to ({bound})"
    if report.seeded:
        text += "; means over seeds with their standard errors"
    if any(share is not None for share in report.front_share):
        text += "; front share: part of the joint bootstrap resamples in which the configuration is on the front"
    return f"{text}."


def _on_front(table: ComparisonTable, report: Report) -> ComparisonTable:
    if len(table.rows) <= _MOST_ROWS:
        return table
    return replace(table, rows=[row for row in table.rows if row.point in report.front] or table.rows[:_MOST_ROWS])


def _difference_table(comparisons: ComparisonTable) -> Table:
    header, rows = difference_cells(comparisons, _TERMINAL)
    table = _table(comparisons.note)
    for index, name in enumerate(header):
        table.add_column(escape(name), justify="right" if index else "left")
    for row in rows:
        table.add_row(*(escape(cell.replace(" [", "\n[")) for cell in row))
    return table


def _table(note: str, **options: Any) -> Table:
    style: dict[str, Any] = {"box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0), "caption_justify": "left"}
    return Table(**style, caption=escape(note), **options)


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---:"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
