from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from depo_lightning.trajectory import Status, Step, Trajectory


def make_episode(
    task: int,
    tokens: list[int],
    success: bool,
    reward: float | None = None,
    status: Status = Status.FINISHED,
    invalid: int = 0,
    seconds: float | None = None,
    repeat: int = 0,
) -> Trajectory:
    """An episode with a turn per entry of `tokens`, the first `invalid` of them refused."""
    steps = tuple(Step("seen", "", "go", "Action: go", count, i >= invalid) for i, count in enumerate(tokens))
    extra = {} if seconds is None else {"seconds": seconds}
    value = float(success) if reward is None else reward
    name = f"{task}.{repeat}"
    return Trajectory(name, "babyai", task, 0, "", steps, value, success, status, extra=extra)


def random_episodes(n: int, seed: int, success: float = 0.7, scale: int = 40) -> list[Trajectory]:
    rng = random.Random(seed)
    result = []
    for task in range(n):
        tokens = [rng.randint(scale // 2, scale * 2) for _ in range(rng.randint(1, 9))]
        invalid = rng.randint(0, len(tokens) // 2)
        result.append(make_episode(task, tokens, rng.random() < success, invalid=invalid, seconds=rng.random()))
    return result


@pytest.fixture
def episode() -> Callable[..., Trajectory]:
    return make_episode


@pytest.fixture
def episodes() -> Callable[..., list[Trajectory]]:
    return random_episodes
