"""How close a sweep of jobs of unequal length comes to the ideal schedule.

Sleeping jobs of seeded lengths over four workers, against the ideal schedule (each job in turn goes to the worker that
is free first, at no cost) and against batches of four behind a barrier.
"""

from __future__ import annotations

import heapq
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.settings import Settings
from bench.table import Row

APP = Path(__file__).with_name("sleeper.py")
WORKERS = 4
SEED = 0


def asynchronous(seconds: Sequence[float], workers: int) -> float:
    """End of the last job where each job in turn goes to the worker that is free first, at no cost."""
    free = [0.0] * workers
    for length in seconds:
        heapq.heappush(free, heapq.heappop(free) + length)
    return max(free)


def barrier(seconds: Sequence[float], workers: int) -> float:
    """End of the last job where `workers` jobs start together, and the next ones when all of them have ended."""
    return sum(max(seconds[first : first + workers]) for first in range(0, len(seconds), workers))


def sweep(seconds: Sequence[float], workers: int, launcher: str) -> tuple[float, float]:
    """Seconds from the first job's start to the last one's end, and of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        environment = {**os.environ, "SLEEPER_SECONDS": json.dumps(list(seconds)), "SLEEPER_LOG": str(log)}
        line = [sys.executable, str(APP), "-m", "hydra/sweeper=depo_optuna", "hydra/sweeper/sampler=grid"]
        line += [f"hydra/launcher={launcher}", f"hydra.sweeper.workers={workers}", f"hydra.sweep.dir={folder}/sweep"]
        line += ["hydra.sweeper.metrics=null", "hydra.sweeper.objectives={loss: minimize}"]
        line += ["hydra.sweeper.preload=[depo_lightning.tuning.jobs]", f"+job=range(0,{len(seconds)})"]
        began = time.time()
        subprocess.run(line, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        whole = time.time() - began
        rows = [[float(word) for word in row.split()] for row in log.read_text().splitlines()]
    assert sorted(row[0] for row in rows) == list(range(len(seconds))), "not every job ran exactly once"
    return max(row[2] for row in rows) - min(row[1] for row in rows), whole


def measure(settings: Settings) -> list[Row]:
    """One sweep for each repetition; the two schedules beside it are computed."""
    jobs, shortest, longest = (12, 1.0, 5.0) if settings.quick else (32, 2.0, 20.0)
    draw = random.Random(SEED)
    seconds = [draw.uniform(shortest, longest) for _ in range(jobs)]
    launcher = "joblib" if importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") else "basic"
    runs = [sweep(seconds, WORKERS, launcher) for _ in range(settings.repetitions)]
    between, whole = [list(column) for column in zip(*runs, strict=True)]
    what = f"{jobs} jobs of {shortest:g} to {longest:g} s, {WORKERS} workers"
    return [
        Row("schedule", f"{what}: {extent}", "s", ours, [peer] * len(ours), name, higher_is_better=False, note=note)
        for extent, ours, peer, name, note in (
            ("first job's start to last one's end", between, asynchronous(seconds, WORKERS), "ideal, at no cost", ""),
            ("the same", between, barrier(seconds, WORKERS), "batches behind a barrier, at no cost", ""),
            ("the whole command", whole, asynchronous(seconds, WORKERS), "ideal, at no cost", f"launcher {launcher}"),
        )
    ]
