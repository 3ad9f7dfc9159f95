"""How long a command takes before it works: help, a run whose stages are all stored, imports, the first search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.alternate import alternate
from bench.settings import Settings
from bench.table import Row
from depo_lightning.store import MANIFEST, Stage, Store

ROOT = Path(__file__).parents[1]
SMALL = (
    *("search.tasks=24", "thresholds=relative", "thresholds.max_desirable=8", "thresholds.max_undesirable=8"),
    *("model.hidden=32", "model.layers=1", "model.ff=32", "model.heads=2"),
    *("bc.epochs=1", "bc.max_trajectories=40", "filtered_bc.epochs=1", "filtered_bc.max_trajectories=16"),
    *("depo.epochs=1", "depo.batch_size=4", "rollout.test_tasks=6", "rollout.validation_tasks=4"),
    *("rollout.max_steps=3", "rollout.max_new_tokens=16"),
)
PLAYS = "from depo_lightning.stages import policies, training; import depo_lightning.rollouts"
TRAINS = f"{PLAYS}; from depo_lightning import data, modules; import peft, pytorch_lightning"
MANIFESTS = 1000


def measure(settings: Settings) -> list[Row]:
    """Wall-clock seconds of whole commands, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        stored = _run(here, here / "store", *SMALL)
        command(settings, *stored)  # fills the store
        commands = {
            "run.py --help": (["run.py", "--help"], "at most 2 s"),
            "run.py, every stage stored": (stored, "at most 8 s; small budget"),
            "sweeps": (["-m", "depo_lightning.sweeps", "list"], ""),
            "imports, to play a policy": (["-c", PLAYS], "evaluation"),
            "imports, to train an adapter": (["-c", TRAINS], "preference training"),
            "imports, a sweep's job server": (["-c", "import depo_lightning.preload"], "once a sweep"),
        }
        rows = [
            _row(what, partial(command, settings, *line), settings, note) for what, (line, note) in commands.items()
        ]
        first = partial(_first_search, settings, here)
        rows.append(_row("run.py to the first stored search", first, settings, "two tasks, two processes"))
    count = MANIFESTS // 10 if settings.quick else MANIFESTS
    rows.append(_row("why a stage is not reused", partial(_explain, count), settings, f"against {count} artifacts"))
    return rows


def command(settings: Settings, *arguments: str) -> float:
    """Seconds of `python ARGUMENTS` in the repository's root.

    Raises:
        RuntimeError: it failed; the end of what it said is in the message.
    """
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}", "OMP_NUM_THREADS": str(settings.threads)}
    line = [sys.executable, *arguments]
    began = time.perf_counter()
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


def _run(folder: Path, store: Path, *overrides: str) -> list[str]:
    return ["run.py", f"store={store}", f"hydra.run.dir={folder / 'out'}", "logger=none", *overrides]


def _first_search(settings: Settings, folder: Path) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        return command(settings, *_run(folder, Path(empty), "stages=[collect]", "search.tasks=2", "search.workers=2"))


def _explain(count: int) -> float:
    """Seconds to name the nearest of `count` artifacts of a stage with a configuration as large as the real ones."""

    def stage(number: int) -> Stage:
        fields = {f"field_{index}": index for index in range(30)}
        return Stage("depo", 1, {"depo": fields, "efficiency": {"alpha1": number}, "seed": 0}, _computes_nothing)

    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for number in range(count):
            path = store.path(stage(number)) / MANIFEST
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(stage(number).identity, indent=1))
        missing = stage(-1)
        began = time.perf_counter()
        store.explain(missing)
        return time.perf_counter() - began


def _computes_nothing(target: Path, inputs: dict[str, Path]) -> None:
    raise NotImplementedError("these stages are only asked for their keys")


def _row(what: str, once: Callable[[], float], settings: Settings, note: str) -> Row:
    ours, _ = alternate(once, None, settings.repetitions)
    return Row("start-up", what, "s", ours, [], higher_is_better=False, note=note)
