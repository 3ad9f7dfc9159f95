"""`pareto.html`: the whole report as one page that needs no network. plotly.js is inside, once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from depo_lightning.files import write_atomic
from depo_lightning.sweeps import analysis, interactive, marks
from depo_lightning.sweeps.page_style import SCRIPT, STYLE
from depo_lightning.sweeps.points import PointStatus
from depo_lightning.sweeps.report import Report
from depo_lightning.sweeps.table import closing, configuration_cells, difference_cells

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# plotly.js by itself offers to upload a figure to its maker's server.
_CONFIG = """{showSendToCloud: false, plotlyServerURL: "", displaylogo: false, displayModeBar: "hover",
  responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"], toImageButtonOptions: {format: "svg", scale: 1}}"""


def write_html(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write `html_page`, atomically."""
    return write_atomic(path, html_page(report))


def html_page(report: Report) -> str:
    """The page's text: front, configurations, differences, growth of the front, importances."""
    from plotly.offline import get_plotlyjs

    name = report.directory.resolve().name
    body = "\n".join(_Sections(report).parts())
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Sweep {escape(name)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>\n{STYLE}</style>\n<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<main>\n"
        f"<h1>Sweep {escape(name)}</h1>\n{_lead(report)}\n{body}\n</main>\n"
        f"<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )


class _Sections:
    """The page's figures and tables, numbered in order of appearance."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._figures = self._tables = 0

    def parts(self) -> list[str]:
        report = self._report
        x, y = (escape(marks.axis(name)) for name in marks.plane(report))
        reading = f"{_sentence(y)} against {x}: {marks.note(report, len(marks.crosses(report)))}. "
        reading += "Point at a mark for its whole configuration and all metrics; drag to zoom, double-click to reset."
        parts = [
            "<h2>Pareto front</h2>",
            self._figure("pareto", interactive.front(report), reading),
            self._table(*configuration_cells(report), f"Configurations. {closing(report)}", "configurations"),
            "<h2>Differences larger than noise</h2>",
        ]
        for number, table in enumerate(report.differences):
            if table.rows:
                reading = (
                    f"{_sentence(table.title)}, 95 % intervals. Blue: without 0; filled: also after "
                    f"Bonferroni's correction for all {table.comparisons} comparisons."
                )
                parts.append(self._figure(f"differences{number}", interactive.forest(report, table), reading))
                below = f"{_sentence(table.title)}. {table.note}"
                (_, *header), rows = difference_cells(table)
                parts.append(self._table(["configuration", *header], rows, below, f"differences-table{number}"))
            else:
                parts.append(f'<p class="absent">{escape(_sentence(table.title))}: {escape(table.absent)}.</p>')
        parts += ["<h2>Growth of the front</h2>", self._growth(), "<h2>Importance of parameters</h2>", *self._weights()]
        if report.notes:
            notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
            parts.append(f"<h2>Notes</h2>\n<ul>{notes}</ul>")
        return parts

    def _growth(self) -> str:
        if self._report.reference is None:
            return '<p class="absent">No job of this sweep has results.</p>'
        bound = ", ".join(f"{value:.4g}" for value in self._report.reference)
        reading = (
            f"Hypervolume of the front after each configuration, up to the reference point ({bound}): the worst values "
            "of this sweep and a margin. It compares within the sweep, not between sweeps."
        )
        return self._figure("hypervolume", interactive.hypervolume(self._report), reading)

    def _weights(self) -> list[str]:
        parts = []
        if self._report.importance:
            reading = (
                "Share of each swept parameter in what sets the better half of the configurations apart, per objective "
                "(fANOVA; shares sum to 1, and say nothing of the direction)."
            )
            if warning := analysis.noise_warning(self._report):
                reading += f" {_sentence(warning)}."
            parts.append(self._figure("importance", interactive.importance(self._report), reading))
        for name, reason in self._report.importance_reasons.items():
            parts.append(f'<p class="absent">{escape(_sentence(marks.axis(name)))}: none, {escape(reason)}.</p>')
        return parts

    def _figure(self, name: str, figure: Figure, reading: str) -> str:
        self._figures += 1
        data = figure.to_json().replace("<", "\\u003c")  # no text may end the script
        return (
            f'<figure>\n<div id="{name}" style="height: {figure.layout.height}px"></div>\n'
            f"<figcaption><b>Figure {self._figures}.</b> {escape(reading)}</figcaption>\n</figure>\n"
            f'<script>(f => Plotly.newPlot("{name}", f.data, f.layout, {_CONFIG}))({data});</script>'
        )

    def _table(self, header: Sequence[str], rows: Sequence[Sequence[str]], reading: str, name: str) -> str:
        self._tables += 1
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
        lines = []
        for row in rows:
            look = ' class="front"' if row[0].endswith("*") else ' class="baseline"' if row[-1] == "baseline" else ""
            lines.append(f"<tr{look}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
        return (
            f'<p class="caption"><b>Table {self._tables}.</b> {escape(reading)}</p>\n'
            f'<div class="scroll"><table id="{name}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
            + "\n".join(lines)
            + "\n</tbody>\n</table></div>"
        )


def _lead(report: Report) -> str:
    finished = sum(job.status is PointStatus.FINISHED for job in report.jobs)
    points = f"{len(report.points)} configurations in {len(report.jobs)} jobs, {finished} of them finished"
    aims = ", ".join(f"{marks.axis(name)} ({direction}d)" for name, direction in report.objectives.items())
    swept = f" Swept: {', '.join(report.keys)}." if report.keys else ""
    return f'<p class="lead">{escape(f"{points}. Objectives: {aims}.{swept}")}</p>'


def _sentence(text: str) -> str:
    """With a capital at the start, and the rest as it is."""
    return text[:1].upper() + text[1:]
