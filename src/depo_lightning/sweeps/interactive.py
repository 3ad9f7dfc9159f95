"""The figures of the page: the same drawings as on paper, with everything behind a mark shown over it."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from depo_lightning.evaluation import plotting
from depo_lightning.evaluation.plotting import GRID, INK, MUTED
from depo_lightning.sweeps import analysis, marks
from depo_lightning.sweeps.differences import Comparison, ComparisonTable
from depo_lightning.sweeps.figures import html_figure
from depo_lightning.sweeps.marks import FRONT, REST
from depo_lightning.sweeps.report import Report
from depo_lightning.sweeps.table import CONTRAST_FORMS, contrast_cell

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
_AXIS: dict[str, Any] = {
    "showline": True,
    "linecolor": MUTED,
    "linewidth": 1,
    "gridcolor": GRID,
    "zeroline": False,
    "ticks": "outside",
    "tickcolor": MUTED,
    "ticklen": 4,
    "title": {"standoff": 10, "font": {"size": 13}},
}
_LABEL_WIDTH = 6.3  # pixels per letter of a row's label


def front(report: Report) -> Figure:
    """The front in the page's style; the legend stands above."""
    figure = html_figure(report)
    _style(figure, 500)
    if len(report.front) < len(report.points):
        _focus(figure, report)
    return figure


def forest(report: Report, table: ComparisonTable) -> Figure:
    """A forest plot of one table: a row per comparison, a panel per objective; labels count from the top."""
    from plotly.subplots import make_subplots

    drawn = analysis.drawn_contrasts(report)
    labels = table.labels
    places = list(range(len(labels)))  # not the labels themselves: two rows may read alike
    titles = [title if name != "success" else "success rate, percentage points" for name, title in drawn]
    figure = make_subplots(rows=1, cols=len(drawn), shared_yaxes=True, horizontal_spacing=0.04)
    for column, (name, _) in enumerate(drawn, start=1):
        scale = 100 if name == "success" else 1
        kept = [(y, row) for y, row in zip(places, table.rows, strict=True) if math.isfinite(row.contrasts[name].mean)]
        for colour, filled in ((REST, False), (FRONT, False), (FRONT, True)):
            members = [(y, row) for y, row in kept if analysis.look_of(row, name) == (colour, filled)]
            _add_intervals(figure, members, name, colour, filled, scale, column)
        figure.add_vline(x=0, line={"color": INK, "width": 1}, row=1, col=column)
    _style(figure, 122 + 24 * len(labels))
    figure.update_xaxes(tickformat="~g")
    for column, title in enumerate(titles, start=1):
        figure.update_xaxes(title_text=title, row=1, col=column)
    figure.update_yaxes(tickvals=places, ticktext=[escape(text) for text in labels], showgrid=False, ticks="")
    figure.update_yaxes(range=[len(labels) - 0.4, -0.6], showline=False)
    margin = min(360.0, 24 + _LABEL_WIDTH * max(map(len, labels)))
    figure.update_layout(showlegend=False, margin={"l": margin, "t": 34})
    return figure


def hypervolume(report: Report) -> Figure:
    """The front's hypervolume after each configuration."""
    import plotly.graph_objects as go

    xs, ys = analysis.history(report)
    labels = [point.label(report.keys) for point in report.points]
    hover = [f"<b>{escape(label)}</b><br>hypervolume {y:.4g}" for label, y in zip(labels, ys, strict=True)]
    figure = go.Figure()
    line = {"shape": "hv", "color": FRONT, "width": 2}
    figure.add_scatter(
        x=xs, y=ys, mode="lines+markers", line=line, marker={"size": 6}, hovertext=hover, hoverinfo="text"
    )
    _style(figure, 330)
    figure.update_xaxes(title_text="trial" if report.trials else "job", tickformat="d")
    figure.update_yaxes(title_text="hypervolume of the front", rangemode="tozero")
    figure.update_layout(showlegend=False, margin={"t": 34})
    return figure


def importance(report: Report) -> Figure:
    """Each parameter's importance for each objective."""
    import plotly.graph_objects as go

    keys = analysis.parameters(report)
    looks = plotting.looks(list(report.objectives))
    figure = go.Figure()
    for name, shares in report.importance.items():
        values = [shares.get(key, 0.0) for key in keys]
        figure.add_bar(
            x=values,
            y=keys,
            orientation="h",
            name=marks.axis(name),
            marker={"color": looks[name].colour},
            text=[f"{value:.0%}" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1%}<extra>" + escape(marks.axis(name)) + "</extra>",
        )
    _style(figure, 120 + 28 * len(keys) * max(1, len(report.importance)))
    figure.update_xaxes(title_text="importance", tickformat=".0%", range=[0, 1.06])
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True, ticks="")
    figure.update_layout(barmode="group", bargap=0.35)
    return figure


def _style(figure: Figure, height: int) -> None:
    figure.update_layout(
        template="plotly_white",
        title=None,
        font={"family": FONT, "size": 13, "color": INK},
        height=height,
        margin={"l": 70, "r": 20, "t": 40, "b": 56},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": None},
        hoverlabel={
            "align": "left",
            "bgcolor": "white",
            "bordercolor": MUTED,
            "font": {"family": FONT, "size": 12, "color": INK},
        },
    )
    figure.update_xaxes(**_AXIS)
    figure.update_yaxes(**_AXIS)


def _focus(figure: Figure, report: Report) -> None:
    """Fade the bars of what is not on the front: many of them cover each other."""
    for trace in figure.data:
        if trace.name in ("dominated", "not eligible"):
            for bar in (trace.error_x, trace.error_y):
                bar.color = "rgba(138, 138, 138, 0.35)"


def _add_intervals(
    figure: Figure,
    members: list[tuple[int, Comparison]],
    name: str,
    colour: str,
    filled: bool,
    scale: float,
    column: int,
) -> None:
    if not members:
        return
    found = [row.contrasts[name] for _, row in members]
    shown, decimals = CONTRAST_FORMS[name]
    figure.add_scatter(
        x=[scale * c.mean for c in found],
        y=[y for y, _ in members],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [_reach(scale * (c.high - c.mean)) for c in found],
            "arrayminus": [_reach(scale * (c.mean - c.low)) for c in found],
            "color": colour,
            "thickness": 1.6,
            "width": 0,
        },
        mode="markers",
        marker={"color": colour if filled else "white", "size": 8, "line": {"color": colour, "width": 1.6}},
        hovertext=[
            f"<b>{escape(row.label)} − {escape(row.against)}</b><br>{shown}: {contrast_cell(c, decimals)}"
            f"<br>{c.tasks} tasks, {c.seeds} seed{'s' if c.seeds > 1 else ''}"
            for (_, row), c in zip(members, found, strict=True)
        ],
        hoverinfo="text",
        row=1,
        col=column,
    )


def _reach(value: float) -> float:
    return value if math.isfinite(value) else 0.0
