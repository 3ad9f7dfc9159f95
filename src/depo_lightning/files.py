"""Writing single files so that a reader never meets half of one."""

from __future__ import annotations

import os
from pathlib import Path

from depo_lightning.store import machine_faults


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file through a neighbour that is synced and then renamed; returns its path.

    Raises:
        MachineError: the disk is full, the directory read-only or not writable.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with machine_faults("cannot write a result", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return target
