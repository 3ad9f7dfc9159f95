"""Writing files so that a reader never meets half of one, and naming the machine's faults."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from depo_lightning.errors import DepoError, MachineError

_MACHINE_FAULTS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the file system is read-only; choose another directory",
    errno.EACCES: "permission denied; choose a directory you may write to",
    errno.EPERM: "not permitted; choose a directory you may write to",
    errno.ENOTDIR: "a part of the path is a file; choose another directory",
    errno.EISDIR: "a directory of that name is in the way; choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter path",
    errno.EFBIG: "the file is too large for this file system; choose another directory",
    errno.EIO: "the disk reports an input/output error; check it",
    errno.EEXIST: "a file of that name is in the way; choose another directory",
}


@contextmanager
def machine_faults(what: str, where: Path) -> Iterator[None]:
    """Turn the machine's write errors (disk full, read-only …) into a `MachineError` that names the remedy."""
    try:
        yield
    except DepoError:
        raise
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else _rust_errno(error)
        if code not in _MACHINE_FAULTS:
            raise
        path = getattr(error, "filename", None) or where
        raise MachineError(f"{what}: {path}: {_MACHINE_FAULTS[code]}; nothing stored before is lost") from error


def _rust_errno(error: Exception) -> int | None:
    """The operating system's error behind a library written in Rust (safetensors), which hides it in the text."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its place only when it is complete and synced.

    Raises:
        MachineError: the disk is full, the directory read-only or not writable; an older file is untouched.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with machine_faults("cannot write a result", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Let a file, or all files of a folder, reach the disk."""
    for each in (path, *sorted(path.rglob("*"))):
        if each.is_file():
            with each.open("rb") as file:
                os.fsync(file.fileno())


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a whole file, as `atomic` does; returns its path."""
    with atomic(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
    return Path(path)
