"""How close a sweep of jobs of unequal length comes to the ideal schedule: `python bench/async_schedule.py`."""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

APP = Path(__file__).with_name("sleeper.py")


def asynchronous(seconds: Sequence[float], workers: int) -> float:
    """End of the last job where each job in turn goes to the worker that is free first, at no cost."""
    free = [0.0] * workers
    for length in seconds:
        heapq.heappush(free, heapq.heappop(free) + length)
    return max(free)


def barrier(seconds: Sequence[float], workers: int) -> float:
    """End of the last job where `workers` jobs start together, and the next ones when all of them have ended."""
    return sum(max(seconds[first : first + workers]) for first in range(0, len(seconds), workers))


def measure(seconds: Sequence[float], workers: int, launcher: str) -> tuple[float, float, float]:
    """Seconds until the first job starts, from there to the last one's end, and of the whole command."""
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
    first, last = min(row[1] for row in rows), max(row[2] for row in rows)
    return first - began, last - first, whole


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=32)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--shortest", type=float, default=2.0, help="seconds")
    parser.add_argument("--longest", type=float, default=20.0, help="seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the lengths, uniform between the two")
    parser.add_argument("--launcher", default="joblib")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    seconds = [draw.uniform(options.shortest, options.longest) for _ in range(options.jobs)]
    ideal, batches = asynchronous(seconds, options.workers), barrier(seconds, options.workers)
    start_up, jobs, whole = measure(seconds, options.workers, options.launcher)
    print(f"{options.jobs} jobs of {options.shortest:g} to {options.longest:g} s, {options.workers} workers\n")
    print("| schedule | seconds | / ideal |\n| --- | ---: | ---: |")
    for name, value in (
        ("ideal: a free worker takes the next job at once", ideal),
        (f"measured, hydra/launcher={options.launcher}: first job's start to last one's end", jobs),
        (f"measured: the whole command, {start_up:.1f} s of it until the first job starts", whole),
        (f"batches of {options.workers} with a barrier, at no cost", batches),
    ):
        print(f"| {name} | {value:.1f} | {value / ideal:.2f} |")


if __name__ == "__main__":
    main()
