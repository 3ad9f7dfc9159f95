"""The sweep's figures: its points and their Pareto front, as PNG for paper and as HTML to explore."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import PercentFormatter

from depo_lightning.evaluation import plotting
from depo_lightning.evaluation.metrics import Estimate
from depo_lightning.evaluation.plotting import INK, MUTED, Z95
from depo_lightning.evaluation.table import policy_label
from depo_lightning.files import write_atomic
from depo_lightning.pareto import Direction
from depo_lightning.sweeps.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as PlotlyFigure

FRONT, REST = "#0072B2", "#8a8a8a"
_AXES = {
    "success_rate": "success rate",
    "mean_reward": "mean reward",
    "tokens_all": "tokens per episode (T@All)",
    "steps_all": "steps per episode (S@All)",
    "tokens_per_success": "tokens per success",
    "invalid_action_rate": "invalid-action rate",
}
_RATES = ("success_rate", "invalid_action_rate")
_MAX_LABELS = 8  # of front points; above that a figure is unreadable, and the HTML tells


def write_png(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write `png_figure`, atomically."""
    return plotting.save(png_figure(report), path)


def write_html(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write `html_figure` with plotly.js inside: one file that needs no network, atomically."""
    html = html_figure(report).to_html(include_plotlyjs=True, full_html=True, div_id="pareto")
    return write_atomic(path, html)


def png_figure(report: Report) -> Figure:
    """The first objective against the second, with ±1.96 standard errors, the front as a step line."""
    y_name, x_name = list(report.objectives)[:2]
    figure, axes = plotting.new_figure(_axis(x_name), _axis(y_name))
    crosses = _crosses(report, x_name, y_name)
    drawn: list[tuple[float, float, float, float]] = []  # what labels keep clear of
    for index, cross in crosses.items():
        on_front = index in report.front
        colour, fade = (FRONT, 0.7) if on_front else (REST, 0.3)
        drawn += _mark(axes, cross, colour, fade, bars_matter=on_front, marker="o", markersize=5, zorder=2 + on_front)
    if stairs := _stairs(report, crosses):
        style = {"pre": "steps-pre", "post": "steps-post"}[_step(report)]
        axes.plot(*zip(*stairs, strict=True), drawstyle=style, color=FRONT, linewidth=1.3, zorder=2.5)
    labels = _front_labels(report, crosses)
    looks = plotting.looks([b.policy for b in report.baselines])
    for b in report.baselines:
        if (baseline := _cross(b.metrics, x_name, y_name)) is not None:
            colour, marker, _ = looks[b.policy]
            drawn += _mark(axes, baseline, colour, 0.7, True, marker=marker, markersize=6.5, mfc="white", zorder=4)
            labels.append((*baseline[:2], policy_label(b.policy), colour))
    axes.margins(0.12)
    if not crosses:
        axes.text(0.5, 0.5, "no job of this sweep has results", transform=axes.transAxes, ha="center", color=MUTED)
    if y_name in _RATES:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    plotting.note(figure, f"blue: Pareto front; grey: dominated; hollow: baselines\n{_note(report, len(crosses))}")
    plotting.label_points(axes, labels, drawn, size=7.5)
    return figure


def html_figure(report: Report) -> PlotlyFigure:
    """The same as an interactive figure; pointing at a mark shows its whole configuration and all its metrics."""
    import plotly.graph_objects as go

    y_name, x_name = list(report.objectives)[:2]
    crosses = _crosses(report, x_name, y_name)
    figure = go.Figure()
    if stairs := _stairs(report, crosses):
        xs, ys = zip(*stairs, strict=True)
        shape = {"pre": "vh", "post": "hv"}[_step(report)]
        line = {"shape": shape, "color": FRONT, "width": 2}
        figure.add_scatter(x=xs, y=ys, mode="lines", line=line, name="Pareto front", hoverinfo="skip")
    for name, colour, members in (
        ("dominated", REST, [i for i in crosses if i not in report.front]),
        ("on the front", FRONT, [i for i in crosses if i in report.front]),
    ):
        if members:
            marker = {"color": colour, "size": 10}
            hover = [_hover(report, index) for index in members]
            _add_marks(figure, name, [crosses[i] for i in members], hover, marker)
    looks = plotting.looks([b.policy for b in report.baselines])
    for b in report.baselines:
        if (cross := _cross(b.metrics, x_name, y_name)) is not None:
            look = looks[b.policy]
            marker = {"color": look.colour, "size": 11, "symbol": f"{look.symbol}-open", "line": {"width": 2}}
            hover = [_hover_text(policy_label(b.policy), {"jobs": ", ".join(map(str, b.jobs))}, b.metrics)]
            _add_marks(figure, policy_label(b.policy), [cross], hover, marker)
    figure.update_layout(
        template="plotly_white",
        font={"color": INK, "size": 14},
        xaxis_title=_axis(x_name),
        yaxis_title=_axis(y_name),
        yaxis_tickformat=".0%" if y_name in _RATES else None,
        title={"text": escape(f"{_note(report, len(crosses))}"), "font": {"size": 14}},
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


Cross = tuple[float, float, float, float]  # x, y and the half-widths of their intervals


def _axis(name: str) -> str:
    return _AXES.get(name, name.replace("_", " "))


def _cross(metrics: dict[str, Estimate], x_name: str, y_name: str) -> Cross | None:
    if x_name not in metrics or y_name not in metrics:
        return None
    x, y = metrics[x_name], metrics[y_name]
    if not (math.isfinite(x.mean) and math.isfinite(y.mean)):
        return None
    dx, dy = (Z95 * e.se if math.isfinite(e.se) else 0.0 for e in (x, y))
    return x.mean, y.mean, dx, dy


def _crosses(report: Report, x_name: str, y_name: str) -> dict[int, Cross]:
    """The points that can be drawn, by index."""
    found = {index: _cross(point.metrics, x_name, y_name) for index, point in enumerate(report.points)}
    return {index: cross for index, cross in found.items() if cross is not None}


def _stairs(report: Report, crosses: dict[int, Cross]) -> list[tuple[float, float]]:
    """Corners of the front, left to right; with more than two objectives its projection is no line."""
    return sorted(crosses[i][:2] for i in report.front if i in crosses) if len(report.objectives) == 2 else []


def _step(report: Report) -> str:
    """Which level holds between two points of the front: the one reached at no more cost in x."""
    return "post" if list(report.objectives.values())[1] == Direction.MINIMIZE else "pre"


def _front_labels(report: Report, crosses: dict[int, Cross]) -> list[tuple[float, float, str, str]]:
    """What to write beside the points of the front; points at the same place share a label."""
    places: dict[tuple[float, float], list[str]] = {}
    for index in report.front:
        if index in crosses:
            point = report.points[index]
            places.setdefault(crosses[index][:2], []).append(point.label(report.keys) or f"job {point.job}")
    if len(places) > _MAX_LABELS:
        return []
    texts = {place: "\n".join(names) if len(names) < 4 else f"{len(names)} jobs" for place, names in places.items()}
    return [(x, y, text, FRONT) for (x, y), text in texts.items()]


def _note(report: Report, drawn: int) -> str:
    better = {"maximize": ("right", "up"), "minimize": ("left", "down")}
    y, x = list(report.objectives.values())[:2]
    missing = len(report.points) - drawn
    rest = f"; {missing} of {len(report.points)} jobs have no results" if missing else ""
    return f"bars: ± 1.96 standard errors; better is {better[y][1]} and to the {better[x][0]}{rest}"


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


def _hover(report: Report, index: int) -> str:
    point = report.points[index]
    return _hover_text(f"job {point.job}: {policy_label(point.policy)}", point.overrides, point.metrics)


def _hover_text(title: str, settings: dict[str, Any], metrics: dict[str, Estimate]) -> str:
    lines = [f"<b>{escape(title)}</b>", *(f"{escape(str(k))} = {escape(str(v))}" for k, v in settings.items()), ""]
    lines += [f"{name}: {e.mean:.4g} ± {e.se:.2g} (n = {e.n})" for name, e in metrics.items() if math.isfinite(e.mean)]
    return "<br>".join(lines)
