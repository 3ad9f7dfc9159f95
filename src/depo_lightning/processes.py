"""What a job may use of the machine, and how it starts processes, where a launcher has started the job itself."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
LARGE_BLOCK = 8 << 20  # bytes


def forget_launcher() -> None:
    """Make `multiprocessing` the standard one again in a process of joblib's.

    There its default start method is joblib's own, which the processes that a job starts are told of and do not know:
    they would die at once.
    """
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method(None, force=True)


def give_back_large_blocks() -> None:
    """Let memory of 8 MiB and more go back to the system as soon as it is free, where malloc is glibc's.

    Left alone, glibc soon serves blocks of up to 32 MiB from heaps of 64 MiB, one set for each thread, in which
    activations that come and go leave gaps that the next ones do not fit: a model like SmolLM2 then holds several times
    what it uses. Huge pages make up for the time of asking the system anew: `run.py` sets THP_MEM_ALLOC_ENABLE=1.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)


def cores() -> int:
    """How many threads this process should compute with.

    OMP_NUM_THREADS where it is set, as joblib and Ray do for each of their workers; else the cores it may run on,
    which on a cluster are those of its job.
    """
    return told_threads() or machine_cores()


def told_threads() -> int | None:
    """OMP_NUM_THREADS, where it is set."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) > 0 else None


def machine_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
