"""Training curves in a file: `metrics.csv` as Lightning's CSVLogger writes it, a row per step, a column per metric."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path


def read_curves(path: str | os.PathLike[str]) -> Iterator[tuple[int, dict[str, float]]]:
    """Points of a curves file, in the order of the file: the step, and the metrics logged together at it.

    Empty cells (metrics that were not logged there) and cells that hold no number are left out, and so are rows
    without a step, such as the last one of a file whose writer was killed. A file that does not exist has no points.
    """
    source = Path(path)
    if not source.exists():
        return
    with source.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = _number(row.pop("step", None))
            values = {name: number for name, cell in row.items() if (number := _number(cell)) is not None}
            if step is not None and values:
                yield int(step), values


def _number(cell: object) -> float | None:
    try:
        return float(cell) if isinstance(cell, str) else None
    except ValueError:
        return None
