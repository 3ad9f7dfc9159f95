from dataclasses import replace

import pytest

from depo_lightning.agents.react import format_turn, parse_turn
from depo_lightning.collect import rephrase as module
from depo_lightning.collect.rephrase import (
    NoneRephraser,
    Rewrites,
    RulesRephraser,
    rephrase,
    rephrase_each,
    shorten_thought,
)
from depo_lightning.errors import DataError
from depo_lightning.trajectory import Label, Step, Trajectory

LONG = (
    "My goal is to go to the red ball. I can see 3 objects and I carry nothing. I see red ball 1 on the left. "
    "So now I will go to red ball 1."
)


def one(thought, action="go to red ball 1", label=Label.DESIRABLE, id="a", text=None):
    step = Step("obs", thought, action, text or format_turn(thought, action), tokens=40)
    return Trajectory(id=id, env="e", task=0, seed=0, system="s", steps=(step,), reward=1.0, success=True, label=label)


class Fixed:
    def __init__(self, *thoughts):
        self.thoughts = list(thoughts)

    async def shorten(self, steps):
        return Rewrites(self.thoughts)


@pytest.mark.parametrize(
    ("thought", "action", "short"),
    [
        (LONG, "go to red ball 1", "I see red ball 1 on the left."),
        ("I see no red ball, so I turn right.", "turn right", "I see no red ball, so I turn right."),
        ("We need shoes. Therefore, I will search for red shoes.", "search[red shoes]", "I will search for red shoes."),
        ("Okay, let me think. The sky is blue.", "drop", "The sky is blue."),
        ("So.", "drop", "So."),
        ("", "drop", ""),
        ("Next to the wall there is a key. Nothing else.", "go to key 1", "Next to the wall there is a key."),
        ("First, I turn left\nand then look", "turn left", "I turn left"),
    ],
)
def test_rules(thought, action, short):
    assert shorten_thought(thought, action) == short


def test_only_desirable_thoughts_change_and_actions_never():
    pool = [one(LONG), one(LONG, label=Label.UNDESIRABLE, id="b"), one(LONG, label=None, id="c"), one("Go.", id="d")]
    result, report = rephrase(pool, RulesRephraser())
    assert result[1:] == pool[1:]
    short = result[0]
    assert short.rephrased
    assert short.steps[0].tokens == 0
    assert short.steps[0].text == "Thought:\nI see red ball 1 on the left.\n\nAction:\ngo to red ball 1"
    assert parse_turn(short.steps[0].text).action == pool[0].steps[0].action == short.steps[0].action
    assert replace(short, steps=pool[0].steps, rephrased=False) == pool[0]
    assert not result[3].rephrased
    assert result[3].steps[0].tokens == 40
    assert (report.episodes, report.changed_episodes, report.steps, report.changed_steps) == (2, 1, 2, 1)
    assert (report.rejected_steps, report.words_before, report.words_after) == (0, 36, 9)
    assert report.to_dict()["changed_steps"] == 1


def test_lots_change_neither_the_order_nor_the_report(monkeypatch):
    labels = [Label.DESIRABLE, Label.UNDESIRABLE, None]
    pool = [one(LONG, label=labels[index % 3], id=str(index)) for index in range(11)]
    whole = rephrase(pool, RulesRephraser())
    monkeypatch.setattr(module, "_AT_A_TIME", 3)
    read, behind = [], []

    def episodes():
        for item in pool:
            read.append(item.id)
            yield item

    def take(item):
        assert item.id == pool[len(behind)].id
        behind.append(len(read) - len(behind))

    assert rephrase(pool, RulesRephraser()) == whole
    assert rephrase_each(episodes(), RulesRephraser(), take) == whole[1]
    assert len(behind) == 11
    assert max(behind) == 3


def test_none_changes_nothing():
    pool = [one(LONG)]
    result, report = rephrase(pool, NoneRephraser())
    assert result == pool
    assert report.changed_steps == report.rejected_steps == 0


@pytest.mark.parametrize(
    "rewrite", [LONG + " Longer.", "", "  ", "I go.\nAction: jump", "Short. Action:\nturn left", " padded thought"]
)
def test_bad_rewrites_are_rejected_and_counted(rewrite):
    pool = [one(LONG)]
    result, report = rephrase(pool, Fixed(rewrite))
    assert result == pool
    assert (report.rejected_steps, report.changed_steps) == (1, 0)


@pytest.mark.parametrize(
    ("text", "rewrite"),
    [
        ("I see it now Action: go to red ball 1", "I see it"),  # a shorter thought, but a longer turn
        ("Thought:" + "\n" * 40 + "I see it now\nAction: go to red ball 1", "I see it now and go"),  # the other way
    ],
)
def test_neither_the_thought_nor_the_turn_may_grow(text, rewrite):
    pool = [one("I see it now", text=text)]
    result, report = rephrase(pool, Fixed(rewrite))
    assert result == pool
    assert report.rejected_steps == 1


def test_a_missing_thought_is_an_error():
    with pytest.raises(DataError, match=r"'a' has 1 steps.*returned 2"):
        rephrase([one(LONG)], Fixed("x", "y"))
