"""An evaluation says how many episodes ended for want of room, whoever played them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.rollouts.fake_server import Answer, said, serve
from tests.rollouts.test_served import Compose, addressed, evaluation, go
from tests.rollouts.test_stored_drafts import episode

from depo_lightning.stages import evaluate
from depo_lightning.stages.context import EPISODES
from depo_lightning.store import Store
from depo_lightning.trajectory import Status, read_jsonl

WARNING = "WARNING: 2 of 6 episodes outgrew rollout.max_context=2000 tokens"
REMEDY = "raise rollout.max_context"


def test_served_episodes_that_outgrow_the_context_are_told(
    compose_config: Compose, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openai")
    talkative = iter(range(2))

    def chat(body: dict[str, Any]) -> Answer:
        at_length = len(body["messages"]) == 2 and next(talkative, None) is not None
        return said("Thought: " + "go on, " * 2000 + "\nAction: turn left") if at_length else go(body)

    with serve(chat, "bc") as fake:
        config = addressed(compose_config, fake, "rollout.max_context=2000")
        path = Store(config.store).get(evaluation(config)).path
    assert [played.extra["reason"] for played in read_jsonl(path / EPISODES)].count("max_context") == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if "WARNING" in line]
    assert len(lines) == 1
    assert WARNING in lines[0]
    assert REMEDY in lines[0]


@pytest.mark.parametrize(("outgrown", "told"), [(2, 1), (0, 0)])
def test_so_are_local_ones(
    outgrown: int,
    told: int,
    compose_config: Compose,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cut = {task: "max_context" if task < outgrown else "max_steps" for task in range(4)}
    played = [
        replace(episode("go", task), status=Status.TRUNCATED, extra={"reason": reason}) for task, reason in cut.items()
    ]
    played += [episode("go", 4), episode("go", 5)]

    def backwards(*arguments: Any) -> None:
        tasks, _, keep = arguments[-3:]
        for task, ended in reversed(list(zip(tasks, played, strict=True))):
            keep(task, ended)

    monkeypatch.setattr(evaluate, "_play_locally", backwards)
    config = compose_config("rollout.test_tasks=6", "rollout.max_context=2000")
    path = Store(config.store).get(evaluation(config)).path
    assert read_jsonl(path / EPISODES) == played  # in the order of the tasks
    assert capsys.readouterr().out.count(WARNING) == told
