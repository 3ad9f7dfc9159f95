"""Episodes of several environments in one rollout: what is recorded, and what drafts and workers make of it."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from tests.rollouts.world import MODEL, RENDERER, SETTINGS, TOKENIZER, FakeEnv, record

from depo_lightning import envs
from depo_lightning.envs import Split, TextEnv
from depo_lightning.envs.mixture import MixtureEnv
from depo_lightning.rollouts import play, play_parallel
from depo_lightning.rollouts.cache import RowCache
from depo_lightning.rollouts.decoder import Decoder
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


def test_an_episode_is_the_one_that_its_environment_alone_would_give() -> None:
    played = play(MODEL, RENDERER, make, TASKS, SETTINGS)
    for env in (FakeEnv, OtherEnv):
        own = [item for item in played if item.env == env.name]
        assert record(own) == record(play(MODEL, RENDERER, env, [item.task for item in own], SETTINGS))


class Wordy(FakeEnv):
    beginning = "A ball lies somewhere in the yard."

    def reset(self, task: int) -> str:
        return self.beginning + super().reset(task)


class OtherWordy(Wordy):
    name = "other"
    beginning = "Keys are lost beneath the old stairs."


def test_what_the_prompts_of_an_environment_begin_with_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[str] = []  # texts that conversations begin with
    feed = Decoder.feed

    def noting(self: Decoder, cache: RowCache, tokens: list[list[int]], lengths: list[int], wanted: list[int]) -> Any:
        fed.extend(TOKENIZER.decode(ids) for ids, length in zip(tokens, lengths, strict=True) if not length)
        return feed(self, cache, tokens, lengths, wanted)

    monkeypatch.setattr(Decoder, "feed", noting)
    monkeypatch.setattr(envs, "kind", lambda name: {"fake": Wordy, "other": OtherWordy}[name])
    play(MODEL, RENDERER, make, TASKS, SETTINGS)
    assert len(fed) == 2
    for env in (Wordy, OtherWordy):
        assert sum(env.beginning in text for text in fed) == 1


class Placed(FakeEnv):
    def level(self, task: int) -> str:
        return str(os.getpid())


class OtherPlaced(Placed):
    name = "other"


def test_every_worker_gets_a_share_of_every_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envs, "kind", lambda name: {"fake": Placed, "other": OtherPlaced}[name])
    played = play_parallel(MODEL, RENDERER, make, TASKS, SETTINGS, workers=2)
    assert Counter((item.level, item.env) for item in played).most_common()[-1][1] == len(TASKS) / 4
