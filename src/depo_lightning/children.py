"""Work in child processes that are forked from a preloaded server, and that may die without harm to this one."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import cloudpickle

T = TypeVar("T")
_FAREWELL = 120.0  # seconds that a child may take to end once its result is here: trackers send what is left
_lock = threading.Lock()  # the server is started once, and no child after `end_children`
_living: set[int] = set()
_ended = False


class ChildDied(Exception):
    """A child ended without a result; the message says how."""


def run_child(work: Callable[[], T], name: str, preload: Sequence[str], threads: int) -> T:
    """Call `work` in a child process and return what it returns.

    The child and all its own children die with this process, and when the work is done.

    Args:
        work: pickled with cloudpickle; must not raise.
        name: of the process.
        preload: modules that the server imports once, for all children.
        threads: what OMP_NUM_THREADS, and with it `processes.cores`, tells the child to compute with.

    Raises:
        ChildDied: it was killed, or has ended before it returned.
    """
    context = multiprocessing.get_context("forkserver")
    payload = cloudpickle.dumps(work)
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, threads, payload), name=name)
    with _lock:
        if _ended:
            raise ChildDied("no job is started any more")
        _start_server(preload)
        child.start()
        assert child.pid is not None
        _living.add(child.pid)
    theirs.close()
    try:
        result: T = cloudpickle.loads(ours.recv_bytes())
        child.join(_FAREWELL)
    except EOFError:
        child.join()
        raise ChildDied(_death(child.exitcode)) from None
    finally:
        _kill_group(child.pid)
        child.join()
        _living.discard(child.pid)
        ours.close()
    return result


def end_children() -> None:
    """Kill what runs, and start no more: this process is about to end."""
    global _ended
    with _lock:
        _ended = True
        for pid in _living:
            _kill_group(pid)


def _start_server(preload: Sequence[str]) -> None:
    """Start the server, if it is not there, with libraries of one thread: what is forked must have no others."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__, *preload])
    told = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if told is not None:
            os.environ["OMP_NUM_THREADS"] = told


def _child(connection: Connection, threads: int, payload: bytes) -> None:
    os.setsid()  # a group of its own: whatever the work starts can be ended with it
    for notice in (signal.SIGUSR1, signal.SIGUSR2):  # a cluster's, of a time limit: the parent's to act upon
        signal.signal(notice, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    work: Callable[[], Any] = cloudpickle.loads(payload)
    connection.send_bytes(cloudpickle.dumps(work()))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _death(code: int | None) -> str:
    if code is None or code >= 0:
        return f"the job's process ended with exit code {code} before it returned"
    name = signal.Signals(-code).name
    hint = ": out of memory?" if name == "SIGKILL" else ""
    return f"the job's process was killed by {name}{hint}"
