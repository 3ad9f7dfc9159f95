"""Random play of AgentGym's BabyAI wrapper, in a process and a Python environment of its own.

It rests on packages this project no longer uses (`tests/envs/record_golden.py` says which), so `bench/environment.py`
starts this file with the interpreter that has them and passes the tasks to play through a pipe: one JSON line in, one
out. The wrapper's server object is called in process, without HTTP, and only those calls are timed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REFUSED = 0.1  # share of actions that the environment refuses, where it names any
SENSELESS = 0.04
_SENSELESS = ("", "fly to the moon", "go to red ball 9", "toggle", "drop", "move forward")


@dataclass
class Play:
    """What a stretch of random play took, and a digest of every answer in turn.

    Attributes:
        resets, steps: calls made.
        reset_s, step_s: seconds spent inside those calls.
        digest: of all observations, rewards and ends; equal exactly if the answers are, byte for byte.
    """

    resets: int = 0
    steps: int = 0
    reset_s: float = 0.0
    step_s: float = 0.0
    digest: str = ""
    _hash: Any = field(default_factory=hashlib.sha256, repr=False)

    def take(self, observation: str, reward: float, done: bool) -> None:
        """Add one answer to the digest."""
        self._hash.update(json.dumps([observation, float(reward), bool(done)]).encode() + b"\n")
        self.digest = self._hash.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {name: getattr(self, name) for name in ("resets", "steps", "reset_s", "step_s", "digest")}


def choose(rng: random.Random, offered: Collection[str], refused: Collection[str]) -> str:
    """An action: mostly one of those on offer, macro actions preferred, sometimes a refused or a senseless one."""
    draw = rng.random()
    if draw < SENSELESS:
        return rng.choice(_SENSELESS)
    if draw < SENSELESS + REFUSED and refused:
        return rng.choice(sorted(refused))
    actions = list(offered)
    weights = [1 if action.startswith(("turn", "move", "check")) else 3 for action in actions]
    return rng.choices(actions, weights)[0]


def play(
    reset: Callable[[int], tuple[str, float, bool]],
    step: Callable[[str], tuple[str, float, bool]],
    choices: Callable[[], tuple[Collection[str], Collection[str]]],
    tasks: Iterable[int],
    steps: int,
) -> Play:
    """Play every task at random for at most `steps` actions; choosing them is not timed.

    Args:
        reset, step: the calls to time; each answers (observation, reward, done).
        choices: the actions on offer and the refused ones that the environment can give a reason for.
        tasks: indices; they seed the choices, so equal answers lead to equal actions.
        steps: most actions per task.
    """
    result = Play()
    for task in tasks:
        rng = random.Random(task)
        started = time.perf_counter()
        answer = reset(task)
        result.reset_s += time.perf_counter() - started
        result.resets += 1
        result.take(*answer)
        for _ in range(steps):
            if answer[2]:
                break
            action = choose(rng, *choices())
            started = time.perf_counter()
            answer = step(action)
            result.step_s += time.perf_counter() - started
            result.steps += 1
            result.take(*answer)
    return result


def main(checkout: Path) -> None:
    """Answer each line of standard input, [tasks, steps], with the play of those tasks."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests/envs"))
    from record_golden import load_reference

    server, _ = load_reference(checkout)
    number = server.create()["id"]

    def told(answer: dict[str, Any]) -> tuple[str, float, bool]:
        return answer["observation"], answer["reward"], answer["done"]

    def choices() -> tuple[Collection[str], Collection[str]]:
        return server.env[number].action_space, server.env[number].error_message

    for line in sys.stdin:
        tasks, steps = json.loads(line)
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # level generation prints its rejections
            played = play(
                lambda task: told(server.reset(number, task)),
                lambda action: told(server.step(number, action)),
                choices,
                tasks,
                steps,
            )
        print(json.dumps(played.to_dict()), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
