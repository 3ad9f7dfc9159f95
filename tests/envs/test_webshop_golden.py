"""The protocol and the reward against recorded play of the reference (see `record_webshop.py`)."""

import gzip
import json
import os
import runpy
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from depo_lightning.envs.webshop import WebShopEnv, purchase_reward
from depo_lightning.envs.webshop import env as module
from depo_lightning.envs.webshop.market import open_market

HERE = Path(__file__).parent
RECORDING = Path(os.environ.get("WEBSHOP_RECORDING", HERE / "golden" / "webshop.jsonl.gz"))  # a longer one, by hand
KINDS = ("synthetic", "human")
answer_digest = runpy.run_path(str(HERE / "record_webshop.py"))["answer_digest"]


class Recorded:
    """The search results that the reference was given."""

    def __init__(self, found):
        self.found = found

    def search(self, query, limit):
        return self.found[query][:limit]


@pytest.fixture(scope="module")
def recording():
    with gzip.open(RECORDING, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def environments(recording, tmp_path_factory):
    """An environment for each kind of instructions, over the recorded files, nouns and search results."""
    folder = tmp_path_factory.mktemp("webshop")
    for name, content in recording[0]["files"].items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "nouns.json").write_text(json.dumps(recording[0]["nouns"]))
    searcher = Recorded(recording[0]["found"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "open_market", lambda source: replace(open_market(source), searcher=searcher))
        shared = {"data": str(folder), "products": None, "tagger": str(folder / "nouns.json")}
        yield {kind: WebShopEnv(instructions=kind, attributes_button=kind == "human", **shared) for kind in KINDS}


def episodes(recording, environments):
    return [(environments[row["instructions"]], row) for row in recording[1:] if "actions" in row]


def replay(env, episode):
    """(observation, reward, done, clickables, search bar) of the reset and of every step."""
    answers = [(env.reset(episode["task"]), 0.0, False, env.clickables, True)]
    for action in episode["actions"]:
        result = env.step(action)
        bar = "search" in env.clickables
        answers.append((result.observation, result.reward, result.done, env.clickables, bar))
    return answers


def test_goals_are_as_many_as_the_reference_has(recording, environments):
    told = {row["instructions"]: row["goals"] for row in recording[1:]}
    assert {kind: len(env.market.goals) for kind, env in environments.items()} == told


def test_texts_equal_the_reference(recording, environments):
    told = [(env, episode) for env, episode in episodes(recording, environments) if "texts" in episode]
    assert len(told) == 50
    for env, episode in told:
        assert [text for text, *_ in replay(env, episode)] == episode["texts"], episode["actions"]


def test_every_answer_equals_the_reference(recording, environments):
    played = episodes(recording, environments)
    assert len(played) >= 500
    for env, episode in played:
        found = [answer_digest(*answer) for answer in replay(env, episode)]
        assert found == episode["digests"], (env.name, episode["task"], episode["actions"])


def test_rewards_equal_the_reference_to_the_last_bit(recording, environments):
    """On data-file dictionaries, as the public function takes them."""
    nouns = recording[0]["nouns"].__getitem__
    rows = [row for row in recording[1:] if "reward" in row]
    assert len({row["reward"] for row in rows}) > 15
    for row in rows:
        market = environments[row["instructions"]].market
        product, goal = market.catalogue[row["asin"]], market.goals[row["goal"]]
        facts = asdict(goal.wish.kind) | {
            "attributes": list(goal.wish.attributes),
            "goal_options": list(goal.wish.options) if row["instructions"] == "human" else dict(goal.wish.options),
            "price_upper": goal.wish.ceiling,
        }
        bought = asdict(product) | {
            "Title": product.name,
            "BulletPoints": list(product.bullets),
            "Description": product.description,
            "Attributes": list(product.attributes),
        }
        assert purchase_reward(bought, facts, row["price"], row["options"], nouns) == row["reward"], row


def test_snapshots_bring_back_every_answer(recording, environments):
    for env, episode in episodes(recording, environments)[::10]:
        env.reset(episode["task"])
        for action in episode["actions"]:
            mark, labels = env.snapshot(), env.clickables
            result, after = env.step(action), env.clickables
            env.reset((episode["task"] + 1) % len(env.market.goals))
            env.restore(mark)
            assert env.clickables == labels
            assert (env.step(action), env.clickables) == (result, after)
