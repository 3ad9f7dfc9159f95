"""What all figures share: style, colours and markers, labels that keep clear of each other, writing.

Figures are `Figure` objects without pyplot, so that no global state is touched and no display is needed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import Bbox

from depo_lightning.files import write_atomic

Z95 = 1.96  # half-width of a normal 95 % interval, in standard errors
DPI = 200
INK, MUTED, GRID = "#222222", "#767676", "#e4e4e4"


class Look(NamedTuple):
    """Colour and marker of a policy; `symbol` is the marker's name in plotly."""

    colour: str
    marker: str
    symbol: str


# Okabe and Ito's palette, safe for colour-blind readers; the marker repeats what the colour says.
_LOOKS = (
    Look("#0072B2", "o", "circle"),
    Look("#D55E00", "s", "square"),
    Look("#009E73", "D", "diamond"),
    Look("#CC79A7", "^", "triangle-up"),
    Look("#E69F00", "v", "triangle-down"),
    Look("#56B4E9", "P", "cross"),
    Look("#000000", "X", "x"),
)
_FIXED = {"depo": 0, "kto": 1, "bc": 6, "filtered_bc": 2}


def looks(policies: Sequence[str]) -> dict[str, Look]:
    """One look per policy; the usual policies look the same in every figure."""
    spare = [i for i in range(len(_LOOKS)) if i not in {_FIXED[p] for p in policies if p in _FIXED}]
    result: dict[str, Look] = {}
    for policy in policies:
        index = _FIXED[policy] if policy in _FIXED else (spare.pop(0) if spare else len(result) % len(_LOOKS))
        result[policy] = _LOOKS[index]
    return result


def new_figure(xlabel: str, ylabel: str, width: float = 5.6, height: float = 3.7) -> tuple[Figure, Axes]:
    """An empty figure in the project's style; sizes in inches."""
    figure, (axes,) = new_panels([xlabel], width, height)
    axes.set_ylabel(ylabel)
    return figure, axes


def new_panels(xlabels: Sequence[str], width: float, height: float) -> tuple[Figure, list[Axes]]:
    """An empty figure of panels side by side that share their y axis, one per x label."""
    style: dict[Any, Any] = {
        "font.size": 9,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(style):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        panels = list(figure.subplots(1, len(xlabels), sharey=True, squeeze=False)[0])
    for axes, xlabel in zip(panels, xlabels, strict=True):
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.set_xlabel(xlabel)
    return figure, panels


def note(figure: Figure, text: str) -> None:
    """A small line under the axes: how to read the figure."""
    figure.supxlabel(text, fontsize=7, color=MUTED, x=0.99, ha="right")


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure as PNG, atomically.

    Raises:
        MachineError: the disk is full or the directory cannot be written to.
    """
    buffer = io.BytesIO()
    # Without metadata the same figure is the same file.
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return write_atomic(path, buffer.getvalue())


def label_points(
    axes: Axes,
    labels: Sequence[tuple[float, float, str, str]],
    obstacles: Sequence[tuple[float, float, float, float]] = (),
    size: float = 8.5,
) -> None:
    """Write each text beside its point, where it covers the least of points, bars and other texts.

    Call it last, when the axes' limits are final.

    Args:
        axes: the axes.
        labels: (x, y, text, colour), in data coordinates, placed in this order.
        obstacles: boxes to keep clear, (x low, x high, y low, y high) in data coordinates.
        size: font size in points.
    """
    figure: Any = axes.figure
    figure.canvas.draw()  # settles the layout, so that data coordinates have their final pixels
    renderer = figure.canvas.get_renderer()
    pixel = figure.dpi / 72
    taken = [_pixel_box(axes, box, pixel) for box in obstacles]
    taken += [_pixel_box(axes, (x, x, y, y), 4 * pixel) for x, y, _, _ in labels]
    halo = [Stroke(linewidth=2.2, foreground="white"), Normal()]  # readable where it does cross a bar
    for x, y, text, colour in labels:
        artist = axes.annotate(
            text, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=size, color=colour, annotation_clip=False
        )
        artist.set(path_effects=halo, zorder=6)
        choices = []
        for rank, place in enumerate(_OFFSETS):
            _move(artist, place)
            box = artist.get_window_extent(renderer)
            cost = sum(_overlap(box, other) for other in taken) + 4 * _outside(box, axes.bbox) + rank
            choices.append((cost, rank, box))
        _, rank, box = min(choices, key=lambda choice: choice[:2])
        _move(artist, _OFFSETS[rank])
        taken.append(box)
        if abs(_OFFSETS[rank][0]) > _NEAR or abs(_OFFSETS[rank][1]) > _NEAR:
            line = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
            start = _OFFSETS[rank][:2]
            axes.annotate("", (x, y), start, textcoords="offset points", arrowprops=line, annotation_clip=False)


def _move(artist: Any, place: tuple[float, float, str, str]) -> None:
    dx, dy, ha, va = place
    artist.set(position=(dx, dy), ha=ha, va=va)


_NEAR = 10.0  # points; a label farther away is tied to its mark by a line
# Candidate positions by preference: offset in points, alignment. Diagonals first: they clear a cross of error bars.
_OFFSETS = [
    (dx * reach, dy * reach, {1: "left", 0: "center", -1: "right"}[dx], {1: "bottom", 0: "center", -1: "top"}[dy])
    for reach in (6.0, 10.0, 16.0, 24.0)
    for dx, dy in ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))
]


def _pixel_box(axes: Axes, box: tuple[float, float, float, float], pad: float) -> Bbox:
    corners = axes.transData.transform([(box[0], box[2]), (box[1], box[3])])
    (x0, y0), (x1, y1) = np.sort(corners, axis=0)
    return Bbox.from_extents(x0 - pad, y0 - pad, x1 + pad, y1 + pad)


def _overlap(a: Bbox, b: Bbox) -> float:
    """Common area in square pixels."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return float(max(0.0, width) * max(0.0, height))


def _outside(box: Bbox, frame: Bbox) -> float:
    """Area of the box that lies outside the frame, in square pixels."""
    return float(box.width * box.height) - _overlap(box, frame)
