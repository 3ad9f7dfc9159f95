"""Training curves as an append-only file, `metrics.csv`: one line per value, `step,metric,value`."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from numbers import Number
from pathlib import Path
from typing import Any

CURVES = "metrics.csv"
_HEADER = ["step", "metric", "value"]


def is_number(value: Any) -> bool:
    """A real scalar: a number, or a tensor or array with a single element."""
    return isinstance(value, Number) or (hasattr(value, "item") and getattr(value, "size", 1) in (1, ()) is not False)


class CurveFile:
    """Appends points to a curves file; what is written survives a killed process."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def append(self, metrics: Mapping[str, Any], step: int) -> None:
        """Add the numbers among `metrics` at `step`."""
        rows = [[step, name, repr(float(value))] for name, value in metrics.items() if is_number(value)]
        fresh = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([_HEADER, *rows] if fresh else rows)


def read_curves(path: str | os.PathLike[str]) -> Iterator[tuple[int, dict[str, float]]]:
    """Points of a curves file in the order they were written: the step, and the metrics logged at it together.

    A file that does not exist has no points; a last line that a killed process left unfinished is skipped.
    """
    source = Path(path)
    if not source.exists():
        return
    step: int | None = None
    metrics: dict[str, float] = {}
    with source.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                at, name, value = int(row["step"]), row["metric"], float(row["value"])
            except (TypeError, ValueError):
                continue
            if at != step or name in metrics:
                if step is not None:
                    yield step, metrics
                step, metrics = at, {}
            metrics[name] = value
    if step is not None:
        yield step, metrics
