"""Episodes of several environments in one rollout: what is recorded, and what drafts and workers make of it."""

from __future__ import annotations

import pytest
from tests.rollouts.world import MODEL, RENDERER, SETTINGS, FakeEnv, record

from depo_lightning import envs
from depo_lightning.envs import Split, TextEnv
from depo_lightning.envs.mixture import MixtureEnv
from depo_lightning.rollouts import play, play_parallel
from depo_lightning.rollouts.drafts import Drafts

TASKS = range(12)


class OtherEnv(FakeEnv):
    name = "other"
    system_prompt = "Find the key, and be quick."


def make() -> TextEnv:
    return MixtureEnv({"fake": {}, "other": {}})


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envs, "kind", lambda name: {"fake": FakeEnv, "other": OtherEnv}[name])


def test_a_record_names_the_environment_and_its_own_task() -> None:
    played = play(MODEL, RENDERER, make, TASKS, SETTINGS)
    assert [(item.env, item.task) for item in played] == [make().origin(task) for task in TASKS]
    assert len({item.id for item in played}) == len(TASKS)
    for item in played:
        env = FakeEnv() if item.env == "fake" else OtherEnv()
        assert (item.system, item.level) == (env.system_prompt, env.level(item.task))
        assert item.steps[0].observation == env.reset(item.task)


def test_workers_and_drafts_change_nothing() -> None:
    played = play(MODEL, RENDERER, make, TASKS, SETTINGS)
    assert record(play_parallel(MODEL, RENDERER, make, TASKS, SETTINGS, workers=2)) == record(played)
    assert record(play(MODEL, RENDERER, make, TASKS, SETTINGS, drafts=played)) == record(played)
    assert make().tasks(Split.TEST, 4) == [0, 1, 2, 3]


def test_drafts_of_another_environments_task_are_none() -> None:
    one, other = play(MODEL, RENDERER, make, [0, 1], SETTINGS)
    assert (one.task, other.task) == (0, 0)
    assert one.steps[0].observation == other.steps[0].observation
    drafts = Drafts([one], RENDERER)
    observation = one.steps[0].observation
    assert drafts.turns(("fake", 0), 0, observation) == [RENDERER.turn_ids(one.steps[0].text)]
    assert drafts.turns(("other", 0), 0, observation) == []
