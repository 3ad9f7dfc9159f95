"""Which differences between configurations are larger than noise, and how sure each one's place on the front is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from depo_lightning import pareto
from depo_lightning.errors import ConfigError
from depo_lightning.evaluation.crossed import CONTRASTS, Bootstrap, Contrast, contrasts, resampled
from depo_lightning.evaluation.table import policy_label
from depo_lightning.sweeps.configurations import Configuration
from depo_lightning.sweeps.points import PointStatus

BASELINE = "bc"
_ALL_PAIRS = 4  # configurations; with more of them pairs are too many to read, and one reference is compared with
_SHARE_RESAMPLES = 4999


@dataclass(frozen=True)
class Comparison:
    """A configuration against another, or against its own baseline policy; indices into the report's points."""

    point: int
    label: str
    other: int | None
    against: str
    contrasts: dict[str, Contrast]

    @property
    def seeds(self) -> int:
        """How many seeds both were measured with."""
        return next(iter(self.contrasts.values())).seeds


@dataclass(frozen=True)
class ComparisonTable:
    """Comparisons that are read together.

    Attributes:
        title: what is compared with what.
        rows: the comparisons.
        comparisons: how many single comparisons the wider intervals allow for.
        absent: why rows are missing; empty if none is.
    """

    title: str
    rows: list[Comparison]
    comparisons: int
    absent: str = ""

    @property
    def labels(self) -> list[str]:
        """A label per row; what it is compared with is said where rows differ in it."""
        if len({row.against for row in self.rows}) < 2:
            return [row.label for row in self.rows]
        pairs = [(row.label, row.against) for row in self.rows]
        heads = {text.rpartition(" = ")[0] for pair in pairs for text in pair}
        if len(heads) == 1 and " = " not in (head := heads.pop()):  # one key varies: its values say all
            return [" − ".join(text.removeprefix(f"{head} = ") for text in pair) for pair in pairs]
        return [f"({label}) − ({against})" for label, against in pairs]

    @property
    def note(self) -> str:
        """What stands under the table."""
        if not self.rows:
            return f"No differences: {self.absent}."
        counts = sorted({row.seeds for row in self.rows})
        what = "Paired over tasks; 95 % bootstrap intervals."
        if counts[-1] > 1:
            span = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else f"{counts[0]}"
            what = f"Paired over {span} common seeds and over tasks; 95 % intervals of a crossed bootstrap, "
            what += "or Student's if wider."
        text = (
            f"{what} * marks an interval without 0, ** one that stays without 0 after Bonferroni's correction for all "
            f"{self.comparisons} comparisons of this table."
        )
        return f"{text} Missing: {self.absent}." if self.absent else text


def resamples_for(points: int) -> int:
    """Enough resamples that the corrected intervals' ends are no mere extremes: about ten lie beyond each."""
    return int(np.clip(400 * len(CONTRASTS) * points, 4999, 40_000))


def against_baseline(points: Sequence[Configuration], keys: Sequence[str], bootstrap: Bootstrap) -> ComparisonTable:
    """Every measured configuration against the BC that its own jobs have trained."""
    usable = [i for i, p in enumerate(points) if {p.policy, BASELINE} <= p.panels.keys() and p.policy != BASELINE]
    size = len(usable) * len(CONTRASTS)
    rows = []
    for i in usable:
        found = contrasts(points[i].panels[points[i].policy], points[i].panels[BASELINE], bootstrap, size)
        rows.append(Comparison(i, points[i].label(keys), None, policy_label(BASELINE), found))
    absent = _absent(points, usable, f"episodes of {policy_label(BASELINE)}")
    if any(point.policy == BASELINE for point in points):
        absent = f"{policy_label(BASELINE)} is what is compared"
    return ComparisonTable(f"difference to {policy_label(BASELINE)}", rows, size, absent)


def among(
    points: Sequence[Configuration], keys: Sequence[str], bootstrap: Bootstrap, reference: Mapping[str, Any] | None
) -> ComparisonTable:
    """All pairs of up to four configurations; of more, or with `reference`, each against the reference.

    Args:
        points: of the report.
        keys: that vary.
        bootstrap: over the sweep's tasks.
        reference: values that name one configuration; None is a study's first trial, else the first by swept values.

    Raises:
        ConfigError: `reference` names no measured configuration, or several.
    """
    usable = [i for i, p in enumerate(points) if p.policy in p.panels]
    usable.sort(key=lambda i: _place(points[i], keys))
    if reference is None and len(usable) <= _ALL_PAIRS:
        title = "difference between configurations"
        pairs = [(j, i) for n, i in enumerate(usable) for j in usable[n + 1 :]]
    else:
        base = _find(points, keys, reference) if reference is not None else usable[0]
        title = f"difference to {points[base].label(keys)}"
        pairs = [(i, base) for i in usable if i != base and base in usable]
    size = len(pairs) * len(CONTRASTS)
    rows, lonely = [], 0
    for i, j in pairs:
        found = contrasts(points[i].panels[points[i].policy], points[j].panels[points[j].policy], bootstrap, size)
        lonely += not found
        if found:
            rows.append(Comparison(i, points[i].label(keys), j, points[j].label(keys), found))
    absent = _absent(points, usable, "episodes")
    parts = [absent] if absent else []
    parts += [f"{lonely} pairs without a common seed"] if lonely else []
    parts += ["nothing to compare with"] if not rows and not parts else []
    return ComparisonTable(title, rows, size, "; ".join(parts))


def _place(point: Configuration, keys: Sequence[str]) -> tuple[int, int, list[Any]]:
    if point.trial:
        return 0, point.trial.number, []
    return 1, 0, [_order(point.overrides.get(key)) for key in keys]


def front_shares(
    points: Sequence[Configuration], objectives: Mapping[str, str], bootstrap: Bootstrap
) -> list[float | None]:
    """Share of the joint resamples in which each configuration is on the front.

    All are weighed by the same draws of seeds and tasks; a configuration that lacks a seed is judged on what the
    draw leaves it, and where that is nothing the resample does not count for it. None for what cannot be on the
    front, and for all if one that can has left no episodes.
    """
    able = [i for i, p in enumerate(points) if p.eligible]
    shares: list[float | None] = [None] * len(points)
    if not able or any(points[i].policy not in points[i].panels for i in able):
        return shares
    seeds = list(dict.fromkeys(seed for i in able for seed in points[i].seeds))
    columns = []
    for i in able:
        draws = resampled(points[i].panels[points[i].policy].over(seeds), bootstrap)
        if not objectives.keys() <= draws.keys():
            return shares
        columns.append(np.stack([draws[name][:_SHARE_RESAMPLES] for name in objectives], axis=-1))
    values = np.stack(columns, axis=1)  # (R, K, m)
    hits = np.zeros(len(able))
    for resample in values:
        hits[pareto.front(resample, list(objectives.values()))] += 1
    counted = np.isfinite(values).all(axis=-1).sum(axis=0)
    for i, hit, n in zip(able, hits, counted, strict=True):
        shares[i] = float(hit / n) if n else None
    return shares


def _absent(points: Sequence[Configuration], usable: Sequence[int], what: str) -> str:
    measured = [i for i, p in enumerate(points) if p.status is PointStatus.FINISHED]
    missing = len(set(measured) - set(usable))
    if not measured:
        return "no configuration was measured"
    return f"{missing} of {len(measured)} measured configurations left no {what}" if missing else ""


def _find(points: Sequence[Configuration], keys: Sequence[str], wanted: Mapping[str, Any]) -> int:
    def fits(point: Configuration) -> bool:
        return all(key in point.overrides and str(point.overrides[key]) == str(v) for key, v in wanted.items())

    found = [i for i, point in enumerate(points) if fits(point)]
    if len(found) == 1 and points[found[0]].metrics:
        return found[0]
    words = ",".join(f"{key}={value}" for key, value in wanted.items())
    fault = "no results" if len(found) == 1 else "no such configuration" if not found else f"{len(found)} fit"
    known = "; ".join(",".join(f"{key}={p.overrides.get(key)}" for key in keys) for p in points[:20] if p.metrics)
    raise ConfigError(f"reference={words}: {fault}; name one of: {known}")


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size before text by letters; what is not set comes first."""
    if value is None:
        return 0, 0.0, ""
    return (1, float(value), "") if isinstance(value, bool | int | float) else (2, 0.0, str(value))
