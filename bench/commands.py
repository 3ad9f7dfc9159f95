"""`python run.py …` as a user would start it, with its wall-clock time and the peak memory of its processes."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.settings import Settings
from bench.workers import ROOT

_PATIENCE = 10.0  # seconds that processes of an ended command may take to end as well


@dataclass(frozen=True)
class Finished:
    """A command that ended well.

    Attributes:
        seconds: wall clock, start-up included.
        cpu_seconds: of all its processes, which other work on the machine disturbs less.
        mib: peak resident memory of the largest of its processes.
    """

    seconds: float
    cpu_seconds: float
    mib: float


def run(settings: Settings, store: Path, arguments: Sequence[str], sweep: bool = False) -> Finished:
    """`python run.py store=… ARGUMENTS`; outputs go to a folder that is removed.

    Args:
        settings: of the command.
        store: the artifact store.
        arguments: Hydra overrides.
        sweep: with `-m`.

    Raises:
        RuntimeError: it failed; its last lines are in the message.
    """
    trainer = ["trainer=gpu"] if settings.device == "cuda" else []
    threads = {name: str(settings.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**os.environ, **threads, "PYTHONPATH": f"{ROOT / 'src'}", "WANDB_MODE": "disabled"}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        where = [f"hydra.run.dir={folder}/run", f"hydra.sweep.dir={folder}/sweep", "logger=none"]
        command = [str(ROOT / "run.py"), *(["-m"] if sweep else [])]  # Hydra wants its flags before the overrides
        line = [sys.executable, *command, f"store={store}", *where, *trainer, *arguments]
        _adopt_orphans()
        began = time.perf_counter()
        process = subprocess.Popen(line, env=environment, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)  # of the process and of those it waited for
        seconds = time.perf_counter() - began
        usages = [usage, *_orphans()]
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            tail = "\n".join(said.read().splitlines()[-12:])
            raise RuntimeError(f"run.py {' '.join(arguments)} ended with code {process.returncode}:\n{tail}")
    print(f"  run.py {' '.join(arguments)}: {seconds:.1f} s", file=sys.stderr, flush=True)
    cpu_seconds = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return Finished(seconds, cpu_seconds, max(usage.ru_maxrss for usage in usages) / 1024)


def _adopt_orphans() -> None:
    """Become the parent of processes whose own has ended, such as the server of a grid's jobs; Linux only."""
    if sys.platform == "linux":
        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def _orphans() -> list[resource.struct_rusage]:
    """What adopted processes used that end within some seconds of the command, with those that they waited for."""
    usages = []
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid:
            usages.append(usage)
        else:
            time.sleep(0.05)
    return usages


def computed(store: Path, before: int = 0) -> list[tuple[str, str, float]]:
    """(stage, key, seconds) of every stage computed since the account had `before` lines."""
    entries = [json.loads(line) for line in account(store)[before:]]
    return [(entry["stage"], entry["key"], entry["seconds"]) for entry in entries if entry["event"] == "computed"]


def account(store: Path) -> list[str]:
    """The lines of the store's account."""
    path = store / "account.jsonl"
    return path.read_text().splitlines() if path.exists() else []
