"""Folders that keep what takes long to make: made once, never half, opened by all processes; and JSON lines in them."""

from __future__ import annotations

import json
import logging
import shutil
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock

from depo_lightning.files import machine_faults

T = TypeVar("T")
log = logging.getLogger(__name__)
_ABOUT = "about.json"


def kept(
    folder: Path, about: dict[str, Any], read: Callable[[Path], T], make: Callable[[Path], object], what: str
) -> T:
    """What `folder` keeps; made first if it is not there, if it was made of something else, or if it is damaged.

    Processes that ask at the same time wait for the one that makes it; an interrupted one leaves nothing behind that
    another would take for the whole.

    Args:
        folder: its parent must be writable where the content is yet to be made.
        about: stands for what the content is made of.
        read: opens the folder; raises OSError, EOFError, KeyError or ValueError where it is damaged.
        make: writes the content to an empty folder.
        what: the content, for messages.

    Raises:
        MachineError: the folder cannot be written.
    """
    found = _opened(folder, about, read)
    if found is None:
        with machine_faults(f"{what} cannot be stored", folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                found = _opened(folder, about, read)
                if found is None:
                    if _about(folder) == about:
                        log.warning("%s: %s is damaged; it is built anew", folder, what)
                    _make(folder, about, make)
    return read(folder) if found is None else found


def _opened(folder: Path, about: dict[str, Any], read: Callable[[Path], T]) -> T | None:
    if _about(folder) != about:
        return None
    try:
        return read(folder)
    except (OSError, EOFError, KeyError, ValueError):
        return None


def _about(folder: Path) -> Any:
    try:
        return json.loads((folder / _ABOUT).read_text())
    except (OSError, json.JSONDecodeError):
        return None


def _make(folder: Path, about: dict[str, Any], make: Callable[[Path], object]) -> None:
    unfinished = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        make(unfinished)
        (unfinished / _ABOUT).write_text(json.dumps(about))
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


class Lines:
    """Lines of JSON on the disk, each decoded when it is asked for.

    Args:
        path: the lines.
        starts: a NumPy file that tells where each begins, and where the last one ends.

    Raises:
        ValueError: the two do not fit.
    """

    def __init__(self, path: Path, starts: Path) -> None:
        self._starts = np.load(starts, mmap_mode="r").view(np.ndarray)
        self._bytes = np.memmap(path, mode="r").view(np.ndarray) if len(self) else np.zeros(0, np.uint8)
        if len(self._bytes) != self._starts[-1]:
            raise ValueError(f"{path} has {len(self._bytes)} bytes, {starts.name} tells of {self._starts[-1]}")

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, place: int) -> Any:
        return json.loads(self._bytes[int(self._starts[place]) : int(self._starts[place + 1])].tobytes())


@contextmanager
def line_writer(path: Path, starts: Path) -> Iterator[Callable[[Any], None]]:
    """Write what `Lines` reads: a function that takes one row after the other."""
    ends = array("q", [0])
    with path.open("wb") as file:
        yield lambda row: ends.append(ends[-1] + file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n"))
    np.save(starts, np.frombuffer(ends, dtype=np.int64))
