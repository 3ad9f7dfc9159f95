"""The sweep's front as a figure for paper and as one to explore; and all figures for paper as files."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import PercentFormatter

from depo_lightning.evaluation import plotting
from depo_lightning.evaluation.plotting import INK, MUTED
from depo_lightning.evaluation.table import policy_label
from depo_lightning.sweeps import analysis, marks
from depo_lightning.sweeps.marks import BARRED, FRONT, REST, Cross
from depo_lightning.sweeps.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as PlotlyFigure


def write_pngs(report: Report, directory: Path) -> list[Path]:
    """Write `pareto.png`, `differences.png`, `hypervolume.png` and `importance.png`, each atomically."""
    return [
        plotting.save(png_figure(report), directory / "pareto.png"),
        plotting.save(analysis.differences_figure(report), directory / "differences.png"),
        plotting.save(analysis.hypervolume_figure(report), directory / "hypervolume.png"),
        plotting.save(analysis.importance_figure(report), directory / "importance.png"),
    ]


def png_figure(report: Report) -> Figure:
    """The first objective against the second, with ±1.96 standard errors, the front as a step line."""
    x_name, y_name = marks.plane(report)
    figure, axes = plotting.new_figure(marks.axis(x_name), marks.axis(y_name))
    places = marks.crosses(report)
    drawn: list[Cross] = []  # what labels keep clear of
    for index, place in places.items():
        on_front, barred = index in report.front, not report.points[index].eligible
        colour, fade = (FRONT, 0.7) if on_front else (BARRED, 0.3) if barred else (REST, 0.3)
        fill = {"mfc": "white"} if barred else {}
        drawn += _mark(axes, place, colour, fade, on_front, marker="o", markersize=5, zorder=2 + on_front, **fill)
    if corners := marks.stairs(report, places):
        style = {"pre": "steps-pre", "post": "steps-post"}[marks.step(report)]
        axes.plot(*zip(*corners, strict=True), drawstyle=style, color=FRONT, linewidth=1.3, zorder=2.5)
    labels = marks.front_labels(report, places)
    looks = plotting.looks([b.policy for b in report.baselines])
    for b in report.baselines:
        if (baseline := marks.cross(b.metrics, x_name, y_name)) is not None:
            colour, marker, _ = looks[b.policy]
            drawn += _mark(axes, baseline, colour, 0.7, True, marker=marker, markersize=6.5, mfc="white", zorder=4)
            labels.append((*baseline[:2], policy_label(b.policy), colour))
    axes.margins(0.12)
    if not places:
        axes.text(0.5, 0.5, "no job of this sweep has results", transform=axes.transAxes, ha="center", color=MUTED)
    if y_name in marks.RATES:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    barred = any(not report.points[index].eligible for index in places)
    key = "blue: Pareto front; grey: dominated; " + ("hollow grey: not eligible; " if barred else "")
    plotting.note(figure, f"{key}hollow: baselines\n{marks.note(report, len(places))}")
    plotting.label_points(axes, labels, drawn, size=7.5)
    return figure


def html_figure(report: Report) -> PlotlyFigure:
    """The same as an interactive figure; pointing at a mark shows its whole configuration and all its metrics."""
    import plotly.graph_objects as go

    x_name, y_name = marks.plane(report)
    places = marks.crosses(report)
    figure = go.Figure()
    if corners := marks.stairs(report, places):
        xs, ys = zip(*corners, strict=True)
        shape = {"pre": "vh", "post": "hv"}[marks.step(report)]
        line = {"shape": shape, "color": FRONT, "width": 2}
        figure.add_scatter(x=xs, y=ys, mode="lines", line=line, name="Pareto front", hoverinfo="skip")
    able = {index for index in places if report.points[index].eligible}
    hollow = {"symbol": "circle-open", "line": {"width": 1.5}}
    for name, members, marker in (
        ("not eligible", [i for i in places if i not in able], {"color": BARRED, "size": 9, **hollow}),
        ("dominated", [i for i in places if i in able and i not in report.front], {"color": REST, "size": 9}),
        ("on the front", [i for i in places if i in report.front], {"color": FRONT, "size": 10}),
    ):
        if members:
            texts = [marks.hover(report, index) for index in members]
            _add_marks(figure, name, [places[i] for i in members], texts, marker)
    looks = plotting.looks([b.policy for b in report.baselines])
    for b in report.baselines:
        if (place := marks.cross(b.metrics, x_name, y_name)) is not None:
            look = looks[b.policy]
            marker = {"color": look.colour, "size": 11, "symbol": f"{look.symbol}-open", "line": {"width": 2}}
            _add_marks(figure, policy_label(b.policy), [place], [marks.baseline_hover(b)], marker)
    figure.update_layout(
        template="plotly_white",
        font={"color": INK, "size": 14},
        xaxis_title=marks.axis(x_name),
        yaxis_title=marks.axis(y_name),
        yaxis_tickformat=".0%" if y_name in marks.RATES else None,
        title={"text": escape(marks.note(report, len(places))), "font": {"size": 14}},
        hoverlabel={"align": "left"},
    )
    return figure


def _mark(axes: Axes, cross: Cross, colour: str, fade: float, bars_matter: bool, **style: Any) -> list[Cross]:
    """Draw a point with its bars; returns the boxes that labels should not cover."""
    x, y, dx, dy = cross
    z = style["zorder"]
    axes.errorbar(x, y, xerr=dx, yerr=dy, fmt="none", ecolor=colour, elinewidth=0.9, alpha=fade, zorder=z - 0.9)
    axes.plot(x, y, color=colour, linestyle="none", **style)
    return [(x - dx, x + dx, y, y), (x, x, y - dy, y + dy)] if bars_matter else [(x, x, y, y)]


def _add_marks(
    figure: PlotlyFigure, name: str, crosses: Sequence[Cross], hover: Sequence[str], marker: dict[str, Any]
) -> None:
    x, y, dx, dy = zip(*crosses, strict=True)
    bar = {"type": "data", "thickness": 1, "width": 0, "color": marker["color"]}
    figure.add_scatter(
        x=x,
        y=y,
        error_x={**bar, "array": dx},
        error_y={**bar, "array": dy},
        mode="markers",
        marker=marker,
        name=name,
        hovertext=list(hover),
        hoverinfo="text",
    )
