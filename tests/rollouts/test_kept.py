"""A local evaluation that is stopped goes on with the tasks that are left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.rollouts.test_served import Compose, evaluation
from tests.rollouts.test_stored_drafts import episode

from depo_lightning.errors import MachineError
from depo_lightning.stages import evaluate
from depo_lightning.stages.context import EPISODES, Context
from depo_lightning.stages.kept import KeptEpisodes
from depo_lightning.store import Store
from depo_lightning.trajectory import Status, Trajectory, read_jsonl


class Player:
    """Plays the last task first and dies after `stop` episodes, of which that of `crashing` crashes."""

    def __init__(self, origin: Callable[[int], tuple[str, int]], crashing: int) -> None:
        self.origin, self.crashing = origin, crashing
        self.played: list[int] = []
        self.stop = 100

    def __call__(self, *arguments: Any) -> None:
        tasks, _, keep = arguments[-3:]
        for count, task in enumerate(reversed(tasks)):
            if count == self.stop:
                raise MachineError("out of memory")
            self.played.append(task)
            keep(task, self.episode(task))

    def episode(self, task: int) -> Trajectory:
        env, number = self.origin(task)
        status = Status.CRASHED if task == self.crashing else Status.FINISHED
        return replace(episode("go", number), env=env, status=status, success=status is Status.FINISHED)


def test_what_was_played_is_not_played_again(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose_config("rollout.test_tasks=6")
    env = Context(config).make_env()
    tasks = env.tasks("test", 6)
    player = Player(env.origin, crashing=tasks[4])
    monkeypatch.setattr(evaluate, "_play_locally", player)
    player.stop = 4
    with pytest.raises(MachineError):
        Store(config.store).get(evaluation(config))
    (kept,) = Path(config.store).glob(".partial/*/.progress/*")
    kept.write_text(kept.read_text() + '\n{"id": "torn')
    player.stop, player.played = 100, []
    path = Store(config.store).get(evaluation(config)).path
    assert player.played == [tasks[4], tasks[1], tasks[0]]  # what crashed is tried again
    assert read_jsonl(path / EPISODES) == [player.episode(task) for task in tasks]
    assert sorted(path.name for path in path.iterdir()) == ["episodes.jsonl", "manifest.json", "stats.json"]


def test_lines_that_are_no_episodes_are_passed_over(tmp_path: Path) -> None:
    kept = KeptEpisodes(tmp_path)
    assert list(kept) == []
    kept.add(episode("go", 1))
    with next(tmp_path.glob(".progress/*")).open("ab") as file:
        file.write(b'\n{"id": "torn\n\xff\n[]\n7\n' + b"[" * 100_000 + b'\n{"env": "fake"}')
    kept.add(episode("left", 2))
    assert list(kept) == [episode("go", 1), episode("left", 2)]
