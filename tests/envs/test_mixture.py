"""Several environments as one: numbers, shares, the running part, faults."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from depo_lightning import envs
from depo_lightning.config import Config
from depo_lightning.envs import Split, TextEnv
from depo_lightning.envs.mixture import MixtureEnv
from depo_lightning.errors import ConfigError
from depo_lightning.stages.context import Context
from depo_lightning.validation import validate

BABYAI, WEBSHOP = {"levels": ["GoToRedBall"]}, {"products": 30}


@pytest.fixture
def mixture() -> TextEnv:
    return envs.make("mixture", parts={"webshop": WEBSHOP, "babyai": {"name": "babyai", **BABYAI}})


def test_every_task_of_every_part_has_a_number_of_its_own(mixture: TextEnv) -> None:
    origins = [mixture.origin(number) for number in range(40)]
    assert origins[:3] == [("babyai", 0), ("webshop", 0), ("babyai", 1)]  # whatever the order they were given in
    assert sorted(origins) == [(name, task) for name in ("babyai", "webshop") for task in range(20)]
    assert mixture.level(6) == envs.make("babyai").level(3)


@pytest.mark.parametrize("split", list(Split))
def test_a_split_takes_the_parts_in_turn(mixture: TextEnv, split: Split) -> None:
    tasks = mixture.tasks(split, 7)
    played = [mixture.origin(task) for task in tasks]
    assert [name for name, _ in played] == ["babyai", "webshop"] * 3 + ["babyai"]
    for name, fields, count in (("babyai", BABYAI, 4), ("webshop", WEBSHOP, 3)):
        assert [task for env, task in played if env == name] == envs.make(name, **fields).tasks(split, count)
    assert mixture.tasks(split, 4) == tasks[:4]
    assert mixture.tasks(split, 0) == []


def test_an_episode_is_that_of_its_part(mixture: TextEnv) -> None:
    alone = envs.make("babyai", **BABYAI)
    task = mixture.tasks(Split.TEST, 1)[0]
    assert mixture.reset(task) == alone.reset(mixture.origin(task)[1])
    assert mixture.system_prompt == alone.system_prompt
    for _ in range(4):
        assert mixture.actions() == alone.actions()
        action = alone.actions()[0]
        assert mixture.step(action) == alone.step(action)


def test_marks_go_back_across_parts(mixture: TextEnv) -> None:
    ball, shop = mixture.tasks(Split.TEST, 2)
    mixture.reset(ball)
    mixture.step(mixture.actions()[0])
    ball_actions, ball_mark = mixture.actions(), pickle.loads(pickle.dumps(mixture.snapshot()))
    mixture.reset(shop)
    shop_actions, shop_mark = mixture.actions(), mixture.snapshot()
    mixture.step("search[red]")
    assert mixture.actions() != shop_actions
    for mark, actions, env in ((ball_mark, ball_actions, "babyai"), (shop_mark, shop_actions, "webshop")):
        mixture.restore(mark)
        assert mixture.actions() == actions
        assert mixture.system_prompt == envs.kind(env).system_prompt


def test_nothing_runs_before_reset(mixture: TextEnv) -> None:
    for call in (mixture.actions, mixture.snapshot, lambda: mixture.step("go")):
        with pytest.raises(RuntimeError, match="reset first"):
            call()


def test_phrases_are_those_of_all_parts(mixture: TextEnv) -> None:
    assert mixture.phrases == (*envs.kind("babyai").phrases, *envs.kind("webshop").phrases)


def test_faults_of_all_parts_are_told_with_their_places() -> None:
    with pytest.raises(ConfigError) as caught:
        MixtureEnv({"babyai": {"levels": ["Nowhere"], "scoring": "x"}, "webshop": {"data": "no/env.d"}, "chess": {}})
    assert len(caught.value.faults) == 3
    told = str(caught.value)
    for words in ("env.parts.babyai.levels", "env.parts.webshop.data", "no/env.d", "env.parts.chess.name='chess'"):
        assert words in told


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "at least one"),
        ({"shop": {"name": "webshop"}}, "env.parts.webshop"),
        ({"mixture": {"parts": {}}}, "no part of another"),
    ],
)
def test_what_is_no_part(parts: dict[str, dict[str, object]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MixtureEnv(parts)


def test_a_part_without_enough_tasks_is_named(mixture: TextEnv) -> None:
    with pytest.raises(ConfigError, match=r"raise env\.parts\.webshop\.products"):
        mixture.tasks(Split.TEST, 100_000)


def test_the_documented_commands_have_the_tasks_they_ask_for(compose_config: Callable[..., Config]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "mixtures.md").read_text()
    commands = re.findall(r"^    python run\.py (env=\S+[^#\n]*)", text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        config = compose_config(*command.split())
        validate(config)
        rollout, env = config.rollout, Context(config).make_env()
        wanted = {
            Split.TRAIN: config.search.tasks,
            Split.VALIDATION: rollout.validation_tasks,
            Split.TEST: rollout.test_tasks,
        }
        assert {split: len(env.tasks(split, count)) for split, count in wanted.items()} == wanted
