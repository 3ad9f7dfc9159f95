"""`python run.py …` as a user would start it, with its wall-clock time and the peak memory of its processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.settings import Settings
from bench.workers import ROOT


@dataclass(frozen=True)
class Finished:
    """A command that ended well.

    Attributes:
        seconds: wall clock, start-up included.
        cpu_seconds: of all processes that it started, which other work on the machine disturbs less.
        mib: peak resident memory of the largest of them.
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
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = {**os.environ, **threads, "PYTHONPATH": path, "WANDB_MODE": "disabled"}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        where = [f"hydra.run.dir={folder}/run", f"hydra.sweep.dir={folder}/sweep", "logger=none"]
        command = [str(ROOT / "run.py"), *(["-m"] if sweep else [])]  # Hydra wants its flags before the overrides
        line = [sys.executable, *command, f"store={store}", *where, *trainer, *arguments]
        file = Path(folder) / "usage.json"
        measured = [sys.executable, "-m", "bench.usage", str(file), *line]
        done = subprocess.run(measured, env=environment, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            said.seek(0)
            tail = "\n".join(said.read().splitlines()[-12:])
            raise RuntimeError(f"run.py {' '.join(arguments)} ended with code {done.returncode}:\n{tail}")
        used = json.loads(file.read_text())
    left = "" if used["whole"] else "; some of its processes go on and are not counted"
    print(f"  run.py {' '.join(arguments)}: {used['seconds']:.1f} s{left}", file=sys.stderr, flush=True)
    return Finished(used["seconds"], used["cpu_seconds"], used["mib"])


def computed(store: Path, before: int = 0) -> list[tuple[str, str, float]]:
    """(stage, key, seconds) of every stage computed since the account had `before` lines."""
    entries = [json.loads(line) for line in account(store)[before:]]
    return [(entry["stage"], entry["key"], entry["seconds"]) for entry in entries if entry["event"] == "computed"]


def account(store: Path) -> list[str]:
    """The lines of the store's account."""
    path = store / "account.jsonl"
    return path.read_text().splitlines() if path.exists() else []
