"""Progress on the terminal: one console, one style of bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


console = _console()


def into_file(path: Path) -> None:
    """From now on, this process and those that it starts print into a file, without colours."""
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    console.__dict__ = _console().__dict__  # Rich looked for a terminal when the old one was made


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[..., None]]:
    """A progress bar over `total` units; the yielded function counts one more, or as many as it is given."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count=1: progress.advance(task, count)
