"""Training curves in a file: `metrics.csv` as Lightning's CSVLogger writes it, a row per step, a column per metric."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
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
        yield from parse_curves(file)


def parse_curves(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, float]]]:
    """The same of a file's lines."""
    for row in csv.DictReader(lines):
        step = _number(row.pop("step", None))
        values = {name: number for name, cell in row.items() if (number := _number(cell)) is not None}
        if step is not None and values:
            yield int(step), values


def joined_curves(first: str, second: str) -> str:
    """The contents of two curves files as the one that a single training would have written."""
    parts = [csv.DictReader(io.StringIO(text)) for text in (first, second)]
    names = sorted({name for part in parts for name in part.fieldnames or ()})
    joined = io.StringIO()
    writer = csv.DictWriter(joined, names, restval="", lineterminator="\r\n")
    writer.writeheader()
    for part in parts:
        writer.writerows(part)
    return joined.getvalue()


def _number(cell: object) -> float | None:
    try:
        return float(cell) if isinstance(cell, str) else None
    except ValueError:
        return None
