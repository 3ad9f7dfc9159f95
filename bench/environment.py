"""BabyAI under random play over all 40 levels: steps and resets per second, snapshot and restore.

The peer is AgentGym's wrapper, called in process and without HTTP, in a Python environment with the packages it needs
(`agentgym_player.py`). Where to find both is told by the environment variables AGENTGYM_CHECKOUT, a checkout of
github.com/WooooDyy/AgentGym, and AGENTGYM_PYTHON, an interpreter with `minigrid<2.5 gymnasium<1.0 gym matplotlib
pillow`; without them the rows have no peer. Both sides get the same tasks and the same seeded choices, every repetition
tasks that neither has seen; that all their answers are equal, byte for byte, is checked on the way.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.agentgym_player import play
from bench.table import Row
from depo_lightning.envs.babyai import BabyAIEnv

LEVELS = 40
STEPS = 20  # actions per task, as many as a search or an evaluation plays
PEER = "AgentGym's wrapper"
MISSING = "no peer: set AGENTGYM_CHECKOUT and AGENTGYM_PYTHON (bench/environment.py says to what)"
_FIRST_SEED = 1000  # beyond what any test plays

Figures = dict[str, Any]


def measure(settings: Any) -> list[Row]:
    """Play `settings.repetitions` times over all levels, both sides in turn, after a round that warms both up."""
    seeds = 1 if settings.quick else 5
    with _peer() as peer:
        ours: list[Figures] = []
        theirs: list[Figures] = []
        for repetition in range(settings.repetitions + 1):
            first = LEVELS * (_FIRST_SEED + repetition * seeds)
            tasks = list(range(first, first + LEVELS * seeds))
            sides = [(ours, _play_ours)] + ([(theirs, peer)] if peer else [])
            for figures, player in sides if repetition % 2 else reversed(sides):
                figures.append(player(tasks))
            if theirs and ours[-1]["digest"] != theirs[-1]["digest"]:
                raise RuntimeError(f"tasks {tasks[0]} to {tasks[-1]}: the answers differ from {PEER}")
    del ours[0], theirs[:1]
    rows = []
    for what, rate, target in (
        ("steps", lambda it: it["steps"] / it["step_s"], 10.0),
        ("steps, resets included", lambda it: it["steps"] / (it["step_s"] + it["reset_s"]), 10.0),
        ("resets", lambda it: it["resets"] / it["reset_s"], None),
    ):
        rows.append(
            Row(
                subject="environment",
                what=f"40 levels, random play of {STEPS} actions: {what}",
                unit="resets/s" if what == "resets" else "steps/s",
                ours=[rate(it) for it in ours],
                peer=[rate(it) for it in theirs],
                peer_name=PEER if theirs else "",
                target=target if theirs else None,
                note="answers equal, byte for byte" if theirs else MISSING,
            )
        )
    return rows + _marks(settings.repetitions, seeds)


def _play_ours(tasks: list[int]) -> Figures:
    env = BabyAIEnv(scoring="agentgym")

    def step(action: str) -> tuple[str, float, bool]:
        result = env.step(action)
        return result.observation, result.reward, result.done

    def choices() -> tuple[Collection[str], Collection[str]]:
        return env.actions(), env._scene.reasons

    return play(lambda task: (env.reset(task), 0.0, False), step, choices, tasks, STEPS).to_dict()


@contextmanager
def _peer() -> Iterator[Callable[[list[int]], Figures] | None]:
    """A function that has the wrapper play some tasks, in a process that lives as long as the context."""
    checkout, python = os.environ.get("AGENTGYM_CHECKOUT"), os.environ.get("AGENTGYM_PYTHON")
    if not checkout or not python:
        yield None
        return
    command = [python, "-W", "ignore", str(Path(__file__).with_name("agentgym_player.py")), checkout]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(tasks: list[int]) -> Figures:
            print(json.dumps([tasks, STEPS]), file=process.stdin, flush=True)
            answer = process.stdout.readline() if process.stdout else ""
            if not answer:
                raise RuntimeError(f"the peer ended: {' '.join(command)}; run it by hand to see why")
            figures: Figures = json.loads(answer)
            return figures

        try:
            yield ask
        finally:
            process.stdin.close()


def _marks(repetitions: int, seeds: int) -> list[Row]:
    """Median microseconds of a snapshot before every action of random play, and of going back to one of them."""
    env = BabyAIEnv()
    taken: list[float] = []
    put_back: list[float] = []
    for repetition in range(repetitions):
        saving, loading = [], []
        first = LEVELS * (_FIRST_SEED + repetition * seeds)
        for task in range(first, first + LEVELS * seeds):
            rng = random.Random(task)
            env.reset(task)
            marks = []
            for _ in range(STEPS):
                started = time.perf_counter()
                marks.append(env.snapshot())
                saving.append(time.perf_counter() - started)
                if env.step(rng.choice(env.actions())).done:
                    break
            for mark in rng.choices(marks, k=5):
                started = time.perf_counter()
                env.restore(mark)
                loading.append(time.perf_counter() - started)
        taken.append(1e6 * median(saving))
        put_back.append(1e6 * median(loading))
    return [
        Row("environment", f"40 levels: {what}", "µs", figures, [], higher_is_better=False, note=note)
        for what, figures, note in (
            ("snapshot, median", taken, "asked for: less than 200"),
            ("restore, median", put_back, "into the state of another point of the same episode"),
        )
    ]
