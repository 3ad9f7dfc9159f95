"""Searches in several environments, and labels of each by rules of its own."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from depo_lightning import envs
from depo_lightning.agents.scripted import scripted_company, scripted_teacher
from depo_lightning.collect.labelling import Caps, label_absolute, label_relative
from depo_lightning.collect.mcts import SearchSettings, search_tree
from depo_lightning.collect.mixture_labels import label_mixture
from depo_lightning.collect.run import collect
from depo_lightning.config import AbsoluteThresholds, MixtureThresholds
from depo_lightning.envs import Split
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.stages.label import label_by
from depo_lightning.trajectory import Label, Status

D, U = Label.DESIRABLE, Label.UNDESIRABLE
PARTS = {"babyai": {"levels": ["GoToRedBall"]}, "webshop": {"products": 30}}
NOISE = {"babyai": {"noise": 0.3}, "webshop": {"noise": 0.0, "detour": 0.0}}
SETTINGS = SearchSettings(simulations=2, max_depth=4)


def verdicts(labelled):
    return {item.id: item.label for item in labelled}


@pytest.fixture
def both(episode):
    """Episodes of two environments whose tasks have the same numbers."""

    def build(env, rewards):
        pool = [episode(f"{env}-{i}", task=i // 2, reward=r, tree=False) for i, r in enumerate(rewards)]
        return [replace(item, env=env) for item in pool]

    return [*build("line", [1.0, 0.8, 0.95, 0.5]), *build("circle", [1.0, 0.8, 0.95, 0.75])]


RULES = {
    "line": partial(label_absolute, kappa0=0.9, kappa1=0.9, kappa2=0.7),
    "circle": partial(label_absolute, kappa0=1.0, kappa1=0.9, kappa2=0.7),
}


def test_a_mixtures_trees_are_those_of_its_parts(nouns_are_words):
    env = envs.make("mixture", parts=PARTS)
    tasks = env.tasks(Split.TRAIN, 2)
    found = collect(lambda: env, lambda: scripted_company(NOISE), tasks, SETTINGS, seed=0)
    apart = []
    for name, fields in PARTS.items():
        part = envs.make(name, **fields)
        teacher = scripted_teacher(name, **NOISE[name])
        result = asyncio.run(search_tree(part, teacher, part.tasks(Split.TRAIN, 1)[0], SETTINGS, 0))
        apart += result.trajectories
    assert found == apart
    assert {item.env for item in found} == set(PARTS)
    assert all(item.status is not Status.CRASHED for item in found)


@pytest.fixture
def nouns_are_words(monkeypatch):
    """Spares loading a tagger."""
    from depo_lightning.envs.webshop.nouns import Tagger

    monkeypatch.setattr(Tagger, "__call__", lambda _, title: title.lower().split())


def test_a_company_refuses_a_conversation_of_another_environment():
    with pytest.raises(ConfigError, match="no script plays"):
        asyncio.run(scripted_company(NOISE).propose([{"role": "system", "content": "chess"}], 1, 0))


def test_each_environment_by_its_own_rule(both):
    labelled, report = label_mixture(both, RULES)
    assert verdicts(labelled) == {
        **{"line-0": D, "line-1": U, "line-2": D},
        **{"circle-0": D, "circle-1": U, "circle-3": U},
    }
    assert {env: part.classes["desirable"].count for env, part in report.environments.items()} == {
        "circle": 1,
        "line": 2,
    }
    assert any(line.startswith("line: 3 of 4 episodes labelled") for line in report.lines())
    assert all(warning.startswith(("line: ", "circle: ", "D and U come")) for warning in report.warnings)
    alone, plain = label_mixture([item for item in both if item.env == "line"], RULES)
    assert verdicts(alone) == {"line-0": D, "line-1": U, "line-2": D}
    assert plain.environments == {}


def test_bounds_hold_for_each_environment(both):
    rules = {env: partial(rule, caps=Caps(max_undesirable=1)) for env, rule in RULES.items()}
    labelled, _ = label_mixture(both, rules, Caps(max_desirable=1))
    count = {(env, label): 0 for env in RULES for label in Label}
    for item in labelled:
        count[item.env, item.label] += 1
    assert set(count.values()) == {1}


def test_ranks_are_within_a_task_of_one_environment(both):
    pool = [replace(item, steps=item.steps * (i % 2 + 1)) for i, item in enumerate(both)]
    labelled, report = label_relative(pool, include_failures=False)
    assert verdicts(labelled) == {f"{env}-{i}": (D, U)[i % 2] for env in RULES for i in range(4)}
    assert set(report.environments) == set(RULES)


def test_an_environment_that_holds_one_class_only_is_warned_of(both):
    failed = {"circle-1", "circle-2", "circle-3"}
    pool = [replace(item, reward=0.0, success=False) if item.id in failed else item for item in both]
    pool = [replace(item, steps=item.steps * (i % 2 + 1)) for i, item in enumerate(pool)]
    _, report = label_relative(pool, min_successes=1)
    assert report.environments["circle"].classes["desirable"].count == 0
    assert any(warning.startswith("circle: not both labels") for warning in report.warnings)
    assert any("different environments" in warning for warning in report.warnings)


def test_an_environment_without_rules_and_one_without_labels_are_named(both):
    with pytest.raises(DataError) as caught:
        label_mixture(both, {"line": partial(label_absolute, kappa0=0.9, kappa1=0.2, kappa2=0.1)})
    assert len(caught.value.faults) == 2
    assert "add thresholds.parts.circle" in str(caught.value)
    assert "line: no undesirable" in str(caught.value)
    assert "move thresholds.parts.line.kappa0" in str(caught.value)


def test_absolute_bounds_are_those_of_one_environment(both):
    bounds = AbsoluteThresholds(kappa0=0.9, kappa1=0.9, kappa2=0.7)
    with pytest.raises(DataError, match=r"one set of bounds for circle and line.*thresholds=relative"):
        label_by(bounds, both)
    alone = [item for item in both if item.env == "line"]
    assert label_by(bounds, alone) == label_absolute(alone, kappa0=0.9, kappa1=0.9, kappa2=0.7)
    parts = MixtureThresholds(parts={"line": bounds, "circle": bounds})
    assert {item.env for item in label_by(parts, both)[0]} == {"line", "circle"}
