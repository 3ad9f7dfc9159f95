"""What the drawings of the front share: where its points lie, what is written beside and shown over them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from depo_lightning.evaluation.metrics import Estimate
from depo_lightning.evaluation.plotting import Z95
from depo_lightning.evaluation.table import policy_label
from depo_lightning.pareto import Direction
from depo_lightning.sweeps.baselines import Baseline
from depo_lightning.sweeps.configurations import plain, spans
from depo_lightning.sweeps.report import Report
from depo_lightning.sweeps.table import note_of

FRONT, REST, BARRED = "#0072B2", "#8a8a8a", "#b5b5b5"
RATES = ("success_rate", "invalid_action_rate")
_AXES = {
    "success_rate": "success rate",
    "mean_reward": "mean reward",
    "tokens_all": "tokens per episode (T@All)",
    "steps_all": "steps per episode (S@All)",
    "tokens_success": "tokens per successful episode (T@Succ)",
    "steps_success": "steps per successful episode (S@Succ)",
    "tokens_per_success": "tokens per success",
    "invalid_action_rate": "invalid-action rate",
}
_MAX_LABELS = 8  # of front points; above that a figure is unreadable, and the page tells

Cross = tuple[float, float, float, float]  # x, y and the half-widths of their intervals


def axis(name: str) -> str:
    """A metric's name on an axis."""
    return _AXES.get(name, name.replace("_", " "))


def plane(report: Report) -> tuple[str, str]:
    """The objectives on x and y: the second and the first."""
    y, x = list(report.objectives)[:2]
    return x, y


def cross(metrics: Mapping[str, Estimate], x_name: str, y_name: str) -> Cross | None:
    """A point and its 95 % bars; None where an objective was not measured."""
    if x_name not in metrics or y_name not in metrics:
        return None
    x, y = metrics[x_name], metrics[y_name]
    if not (math.isfinite(x.mean) and math.isfinite(y.mean)):
        return None
    dx, dy = (Z95 * e.se if math.isfinite(e.se) else 0.0 for e in (x, y))
    return x.mean, y.mean, dx, dy


def crosses(report: Report) -> dict[int, Cross]:
    """The configurations that can be drawn, by index."""
    found = {index: cross(point.metrics, *plane(report)) for index, point in enumerate(report.points)}
    return {index: place for index, place in found.items() if place is not None}


def stairs(report: Report, places: Mapping[int, Cross]) -> list[tuple[float, float]]:
    """Corners of the front, left to right; with more than two objectives its projection is no line."""
    return sorted(places[i][:2] for i in report.front if i in places) if len(report.objectives) == 2 else []


def step(report: Report) -> str:
    """Which level holds between two points of the front: the one reached at no more cost in x."""
    return "post" if list(report.objectives.values())[1] == Direction.MINIMIZE else "pre"


def front_labels(report: Report, places: Mapping[int, Cross]) -> list[tuple[float, float, str, str]]:
    """What to write beside the points of the front; points at the same place share a label."""
    groups: dict[tuple[float, float], list[str]] = {}
    for index in report.front:
        if index in places:
            groups.setdefault(places[index][:2], []).append(report.points[index].label(report.keys))
    if len(groups) > _MAX_LABELS:
        return []
    texts = {place: "\n".join(names) if len(names) < 4 else f"{len(names)} points" for place, names in groups.items()}
    return [(x, y, text, FRONT) for (x, y), text in texts.items()]


def note(report: Report, drawn: int) -> str:
    """How to read the figure, and what is not in it."""
    better = {"maximize": ("right", "up"), "minimize": ("left", "down")}
    y, x = list(report.objectives.values())[:2]
    missing = len(report.points) - drawn
    what = "configurations" if report.seeded else "jobs"
    rest = f"; {missing} of {len(report.points)} {what} have no results" if missing else ""
    return f"bars: ± 1.96 standard errors; better is {better[y][1]} and to the {better[x][0]}{rest}"


def hover(report: Report, index: int) -> str:
    """The whole configuration and all its metrics."""
    point, share = report.points[index], report.front_share[index]
    facts: dict[str, Any] = dict(point.overrides)
    if len(point.seeds) > 1 or report.seeded:
        facts["seeds"] = ", ".join(map(str, point.seeds))
    if point.trial:
        facts["state"] = point.trial.state
        facts |= {f"constraint {name}": plain(value) for name, value in sorted(point.trial.constraints.items())}
        facts |= {"started from": point.trial.warm_start} if point.trial.warm_start else {}
    facts |= {} if share is None else {"on the front in": f"{share:.0%} of resamples"}
    facts |= {"note": note_of(point)} if note_of(point) else {}
    name = f"job{'s' if len(point.jobs) > 1 else ''} {spans(point.numbers)}"
    name = f"trial {point.trial.number} ({name})" if point.trial else name
    return _text(f"{name}: {policy_label(point.policy)}", facts, point.metrics)


def baseline_hover(baseline: Baseline) -> str:
    """A baseline's jobs and metrics."""
    return _text(policy_label(baseline.policy), {"jobs": spans(baseline.jobs)}, baseline.metrics)


def _text(title: str, facts: Mapping[str, Any], metrics: Mapping[str, Estimate]) -> str:
    lines = [f"<b>{escape(title)}</b>", *(f"{escape(str(k))} = {escape(plain(v))}" for k, v in facts.items()), ""]
    lines += [f"{name}: {_spread(e)} (n = {e.n})" for name, e in metrics.items() if math.isfinite(e.mean)]
    return "<br>".join(lines)


def _spread(estimate: Estimate) -> str:
    return f"{estimate.mean:.4g}" + (f" ± {estimate.se:.2g}" if math.isfinite(estimate.se) else "")
