"""The sweep's other figures for paper: differences with their intervals, growth of the front, importances."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator, PercentFormatter

from depo_lightning.evaluation import plotting
from depo_lightning.evaluation.plotting import INK, MUTED
from depo_lightning.sweeps import marks
from depo_lightning.sweeps.differences import Comparison, ComparisonTable
from depo_lightning.sweeps.marks import FRONT, REST
from depo_lightning.sweeps.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CONTRAST_OF = {  # metric → what its differences are drawn in; the others have none
    "success_rate": "success",
    "mean_reward": "reward",
    "tokens_all": "tokens_percent",
    "steps_all": "steps_percent",
}
_CONTRAST_AXES = {
    "success": "success rate",
    "reward": "mean reward",
    "tokens_percent": "tokens per episode, %",
    "steps_percent": "steps per episode, %",
}
_MAX_ROWS = 40  # of a figure on paper; the tables hold all


def drawn_contrasts(report: Report) -> list[tuple[str, str]]:
    """The differences to draw, one per objective that has them: name, axis title; never none."""
    names = [_CONTRAST_OF[name] for name in report.objectives if name in _CONTRAST_OF]
    return [(name, _CONTRAST_AXES[name]) for name in names or ["success", "tokens_percent"]]


def forest_table(report: Report) -> ComparisonTable | None:
    """The table to draw on paper: differences to BC where there are any, else among configurations."""
    return next((table for table in report.differences if table.rows), None)


def look_of(row: Comparison, name: str) -> tuple[str, bool]:
    """Colour of an interval, and whether its mark is filled: blue without 0, filled if that withstands Bonferroni."""
    contrast = row.contrasts[name]
    return (FRONT if contrast.resolved else REST), contrast.resolved_all


def differences_figure(report: Report) -> Figure:
    """A forest plot: a row per comparison, a panel per objective, 95 % intervals."""
    table = forest_table(report)
    panels = drawn_contrasts(report)
    rows = table.rows[:_MAX_ROWS] if table else []
    width = 2.0 + 2.3 * len(panels)
    figure, axes = plotting.new_panels([title for _, title in panels], width, 1.25 + 0.2 * max(len(rows), 4))
    if table is None:
        _empty(axes[0], "no differences: the jobs left no episodes")
        return figure
    places = range(len(rows))
    for panel, (name, _) in zip(axes, panels, strict=True):
        panel.axvline(0, color=INK, linewidth=0.8, zorder=1)
        for y, row in zip(places, rows, strict=True):
            _interval(panel, y, row, name)
        panel.grid(visible=False, axis="y")
        panel.tick_params(axis="y", length=0)
        panel.margins(x=0.08)
        if name == "success":
            panel.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}".replace("-", "−"))
            panel.set_xlabel("success rate, percentage points")
    axes[0].set_yticks(list(places), table.labels[: len(rows)])
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    left = f"; {len(table.rows) - len(rows)} more in the table" if len(table.rows) > len(rows) else ""
    figure.suptitle(table.title, fontsize=9.5, color=INK)
    plotting.note(
        figure, f"95 % intervals; blue: without 0; filled: also for all {table.comparisons} comparisons{left}"
    )
    return figure


def hypervolume_figure(report: Report) -> Figure:
    """The front's hypervolume after each configuration, in order of job or trial."""
    name = "trial" if report.trials else "job"
    figure, axes = plotting.new_figure(name, "hypervolume of the front", height=2.9)
    xs, ys = history(report)
    if not xs or report.reference is None:
        _empty(axes, "no job of this sweep has results")
        return figure
    axes.plot(xs, ys, drawstyle="steps-post", color=FRONT, linewidth=1.6)
    gains = [i for i, y in enumerate(ys) if y > (ys[i - 1] if i else 0.0)]
    axes.plot([xs[i] for i in gains], [ys[i] for i in gains], "o", color=FRONT, markersize=4.5)
    axes.set_ylim(bottom=0, top=max(1.08 * max(ys), 1e-12))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plotting.note(figure, f"marks: a configuration that widened the front; {_bound(report)}")
    return figure


def importance_figure(report: Report) -> Figure:
    """Each parameter's importance for each objective."""
    keys = parameters(report)
    height = 1.3 + 0.22 * max(3, len(keys) * max(1, len(report.importance)))
    figure, axes = plotting.new_figure("importance (fANOVA)", "", height=height)
    if not keys:
        reasons = sorted(set(report.importance_reasons.values()))
        _empty(axes, f"no importances: {'; '.join(reasons)}")
        return figure
    looks = plotting.looks(list(report.objectives))
    thick = 0.8 / len(report.importance)
    for n, (name, shares) in enumerate(report.importance.items()):
        ys = [row + (n + 0.5) * thick - 0.4 for row in range(len(keys))]
        values = [shares.get(key, 0.0) for key in keys]
        axes.barh(ys, values, height=0.9 * thick, color=looks[name].colour, label=marks.axis(name))
        for y, value in zip(ys, values, strict=True):
            axes.text(value + 0.01, y, f"{value:.0%}", va="center", fontsize=7.5, color=INK)
    axes.set_yticks(range(len(keys)), keys)
    axes.set_ylim(len(keys) - 0.45, -0.55)
    axes.set_xlim(0, 1.08)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    if warning := noise_warning(report):
        plotting.note(figure, warning)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return figure


def noise_warning(report: Report) -> str:
    """Importances rank noise as readily as effects: said where no difference among configurations is sure."""
    rows = [row for table in report.differences for row in table.rows if row.other is not None]
    if any(contrast.resolved_all for row in rows for contrast in row.contrasts.values()):
        return ""
    return "no difference among configurations is larger than noise: so may the importances be noise" if rows else ""


def history(report: Report) -> tuple[list[int], list[float]]:
    """Job or trial numbers, and the hypervolume after each."""
    pairs = zip(report.points, report.hypervolume_history, strict=True)
    numbered = [(p.trial.number if p.trial else p.job, volume) for p, volume in pairs if math.isfinite(volume)]
    return [number for number, _ in numbered], [volume for _, volume in numbered]


def parameters(report: Report) -> list[str]:
    """The parameters that have an importance, the largest first."""
    total: dict[str, float] = {}
    for shares in report.importance.values():
        for key, share in shares.items():
            total[key] = total.get(key, 0.0) + share
    return sorted(total, key=lambda key: (-total[key], key))


def _interval(axes: Axes, y: float, row: Comparison, name: str) -> None:
    contrast = row.contrasts[name]
    if not math.isfinite(contrast.mean):
        return
    colour, filled = look_of(row, name)
    if math.isfinite(contrast.low):
        axes.plot([contrast.low, contrast.high], [y, y], color=colour, linewidth=1.5, solid_capstyle="butt", zorder=2)
    axes.plot(contrast.mean, y, "o", color=colour, markersize=4.5, mfc=colour if filled else "white", zorder=3)


def _bound(report: Report) -> str:
    return "up to (" + ", ".join(f"{value:.4g}" for value in report.reference or []) + ")"


def _empty(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=MUTED)
