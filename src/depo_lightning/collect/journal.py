"""What is finished of a long piece of work, kept line by line, so that a killed process loses nothing of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from depo_lightning.collect.mcts import TreeReport, TreeResult
from depo_lightning.errors import DataError
from depo_lightning.files import machine_faults
from depo_lightning.trajectory import from_row, to_row

T = TypeVar("T")


class Journal:
    """JSON objects in a file, one per line; one writer at a time.

    A line that a killed process left unfinished is cut off when the file is opened again.

    Args:
        path: the file; made if it is not there.

    Raises:
        DataError: a whole line is no JSON object.
        MachineError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with machine_faults("progress cannot be kept", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            self._file.seek(0)
            lines = self._file.read().splitlines(keepends=True)
            if lines and not lines[-1].endswith(b"\n"):
                self._file.truncate(sum(map(len, lines[:-1])))
                del lines[-1]
        self.rows = [self._parse(number, line) for number, line in enumerate(lines, start=1)]

    def read(self, parse: Callable[[dict[str, Any]], T]) -> list[T]:
        """What was there when the file was opened.

        Raises:
            DataError: a line is not what `parse` takes; names file:line.
        """
        found = []
        for number, row in enumerate(self.rows, start=1):
            try:
                found.append(parse(row))
            except (KeyError, TypeError, AttributeError, DataError) as error:
                raise DataError(
                    f"{self.path}:{number}: holds something else ({error!r}); delete the line: its work is done again"
                ) from error
        return found

    def append(self, row: dict[str, Any]) -> None:
        """Add a line; it is on the disk when this returns."""
        with machine_faults("progress cannot be kept", self.path):
            self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """No line can be added afterwards."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{self.path}:{number}: no JSON object; delete the file, and its work is done again")
        return row


def tree_row(result: TreeResult) -> dict[str, Any]:
    """A finished tree as a line of a journal."""
    return {"report": result.report.to_dict(), "trajectories": [to_row(item) for item in result.trajectories]}


def tree_from_row(row: dict[str, Any]) -> TreeResult:
    """The tree that `tree_row` wrote."""
    trajectories = tuple(from_row(item) for item in row["trajectories"])
    report = TreeReport(**row["report"])
    if not isinstance(report.task, int):
        raise TypeError(f"a report of task {report.task!r}")
    return TreeResult(trajectories, report)
