import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from depo_lightning.agents.chat_model import Answer, Reply
from depo_lightning.agents.prompts import Exchange, fill
from depo_lightning.agents.react import format_turn
from depo_lightning.agents.usage import Usage
from depo_lightning.collect.grounding import Grounding
from depo_lightning.collect.journal import Journal
from depo_lightning.collect.llm_rephrase import LLMRephraser, RephraserPrompts
from depo_lightning.collect.rephrase import rephrase
from depo_lightning.envs.babyai.prompt import PHRASES
from depo_lightning.errors import DataError
from depo_lightning.trajectory import Label, Step, Trajectory

PROMPTS = RephraserPrompts("Shorten.", "Thought: {thought}\nAction: {action}")
OBSERVATION = (
    "Your goal: go to the red ball\nIn front of you in this room, you can see several objects: There is a red ball 1 "
    "3 steps in front of you and 2 steps to your left. There is a blue key 1 1 steps in front of you and 1 steps to "
    'your right.  You are facing a wall 4 steps away. You are not carrying anything.\nAvailable actions: ["turn left"]'
)
OLD = (
    "My task is to go to the red ball. I can see red ball 1 on my left, which is what I am looking for, so I go there."
)
ACTION = "go to red ball 1"


def episode(*thoughts, id="a", observation=OBSERVATION, action=ACTION):
    steps = tuple(Step(observation, thought, action, format_turn(thought, action), tokens=40) for thought in thoughts)
    return Trajectory(id, "babyai", 0, 0, "s", steps, 1.0, True, label=Label.DESIRABLE)


class Model:
    """Answers every question by a function of its last message."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def ask(self, messages, count, seed):
        self.asked.append((messages, seed))
        answer = self.answer(messages[-1]["content"])
        answers = () if answer is None else (answer if isinstance(answer, Answer) else Answer(answer),)
        return Reply(answers, Usage(1))

    async def __aenter__(self):
        self.entered = True
        return self

    async def __aexit__(self, *_):
        self.entered = False


def rewrite(answer, *thoughts, **kwargs):
    model = Model(answer)
    found, report = rephrase([episode(*(thoughts or (OLD,)))], LLMRephraser(model, PROMPTS), phrases=PHRASES, **kwargs)
    return found[0], report, model


@pytest.mark.parametrize(
    ("answer", "thought"),
    [
        ("I see red ball 1 on my left.", "I see red ball 1 on my left."),
        ('"Red ball 1 is on my left."', "Red ball 1 is on my left."),
        ("Thought: red ball 1 is left.\n", "red ball 1 is left."),
        ("**New thought:** Red ball, left.", "Red ball, left."),
    ],
)
def test_a_shorter_thought_replaces_the_old_one_and_the_action_stays(answer, thought):
    item, report, model = rewrite(lambda _: answer)
    step = item.steps[0]
    assert (step.thought, step.action, step.text) == (thought, ACTION, format_turn(thought, ACTION))
    assert (report.changed_steps, report.rejected) == (1, {})
    assert model.asked[0][0][-1]["content"] == f"Thought: {OLD}\nAction: {ACTION}"
    assert not model.entered


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I see green ball 1 on my left.", "names something new"),
        ("I see red ball 2 on my left.", "names something new"),
        ("The red key is near.", "names something new"),  # both words are there, the thing is not
        ("A dragon is near.", "names something new"),
        ("I open the door.", "names something new"),
        ('The "exit" is left.', "names something new"),
        (OLD + " Indeed.", "not shorter"),
        ("I go.\nAction: drop", "not one turn"),
        ("   ", "no answer"),
        (None, "no answer"),
        (Answer("I see red", complete=False), "no answer"),
    ],
)
def test_else_the_original_stays_and_the_reason_is_counted(answer, reason):
    item, report, _ = rewrite(lambda _: answer)
    assert item == episode(OLD)
    assert report.rejected == {reason: 1}
    assert report.rejected_steps == 1


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("Red ball first.", []),
        ("It's the nearest ball; I should turn around and move closer now.", []),
        ("Balls and keys are near.", []),
        ("Blue key 1 is 1 step away.", []),
        ("Pick up the box.", ["box"]),
        ("It is 7 steps away.", ["7"]),
        ("The blue ball.", ["blue ball"]),
        ("click[buy now]", ["click", "buy"]),
    ],
)
def test_what_counts_as_new(text, new):
    found = Grounding(PHRASES).new_names(text, OLD, OBSERVATION)
    assert [name for name in found if name in new] == new
    assert bool(found) == bool(new)


def test_without_phrases_words_numbers_and_quotations_count():
    judge = Grounding()
    seen = "Results [SEP] Blue Jacket, slim fit [SEP] $25.99"
    assert judge.new_names("The blue jacket costs 25.99.", seen, "It costs little.") == []
    assert judge.new_names("The blue jacket costs 29.99.", seen, "It costs little.") == ["29.99"]
    assert judge.new_names("I take [slim jacket].", seen) == ["slim jacket"]


def test_braces_in_a_thought_are_only_text():
    thought = "The room says {action} and {thought} to me, which means nothing, so I go to the red ball."
    _, _, model = rewrite(lambda _: "I go to the red ball.", thought)
    assert model.asked[0][0][-1]["content"] == f"Thought: {thought}\nAction: {ACTION}"


def test_examples_come_before_the_question():
    prompts = replace(PROMPTS, examples=(Exchange("Thought: {thought}, long\nAction: b", "short"),))
    model = Model(lambda _: "Red ball.")
    rephrase([episode(OLD)], LLMRephraser(model, prompts))
    assert [message["content"] for message in model.asked[0][0]] == [
        "Shorten.",
        "Thought: {thought}, long\nAction: b",
        "short",
        f"Thought: {OLD}\nAction: {ACTION}",
    ]


def test_the_shipped_examples_are_questions_and_answers_that_are_taken():
    conf = Path(__file__).parents[2] / "conf" / "prompts"
    question = yaml.safe_load((conf / "shorten.yaml").read_text())["question"]
    for example in yaml.safe_load((conf / "shorten_examples.yaml").read_text())["examples"]:
        thought, action = example["user"].removeprefix("Thought: ").split("\nAction taken: ")
        assert fill(question, thought=thought, action=action) == example["user"]
        pool = [episode(thought, observation="", action=action)]
        found, report = rephrase(
            pool, LLMRephraser(Model(lambda _, said=example["assistant"]: said), PROMPTS), phrases=PHRASES
        )
        assert found[0].steps[0].thought == example["assistant"]
        assert report.changed_steps == 1


def test_equal_steps_get_equal_seeds_and_an_empty_thought_is_left_alone():
    item, report, model = rewrite(lambda _: "I go to the red ball.", OLD, "", OLD)
    assert [step.thought for step in item.steps] == ["I go to the red ball.", "", "I go to the red ball."]
    assert model.asked[0][1] == model.asked[1][1]
    assert len(model.asked) == 2
    assert report.changed_steps == 2


def test_what_is_answered_is_not_asked_again(tmp_path):
    pool = [episode(OLD, id="a"), episode(OLD, OLD, id="b"), replace(episode(OLD, id="c"), label=Label.UNDESIRABLE)]
    with Journal(tmp_path / "j") as journal:
        first = rephrase(pool[:1], LLMRephraser(Model(lambda _: "Red ball."), PROMPTS), journal=journal)
    later = Model(lambda _: "My red ball.")
    with Journal(tmp_path / "j") as journal:
        found, _ = rephrase(pool, LLMRephraser(later, PROMPTS), journal=journal)
    assert len(later.asked) == 2
    assert found[0] == first[0][0]
    assert found[1].steps[0].thought == "My red ball."
    assert json.loads((tmp_path / "j").read_text().splitlines()[1]) == {"id": "b", "thoughts": ["My red ball."] * 2}
    with Journal(tmp_path / "j") as journal:
        idle = Model(None)
        assert rephrase(pool, LLMRephraser(idle, PROMPTS), journal=journal)[0] == found
        assert not hasattr(idle, "entered")


@pytest.mark.parametrize(
    "line",
    [
        {"id": "a", "thoughts": None},
        {"id": "a", "thoughts": "x"},
        {"id": "a", "thoughts": [1]},
        {"id": [], "thoughts": []},
    ],
)
def test_a_journal_that_holds_something_else_is_named(tmp_path, line):
    (tmp_path / "j").write_text(json.dumps(line) + "\n")
    with Journal(tmp_path / "j") as journal, pytest.raises(DataError, match=r"j:1: holds something else"):
        rephrase([episode(OLD, id="a")], LLMRephraser(Model(None), PROMPTS), journal=journal)


def test_what_the_journal_has_for_other_steps_is_asked_anew(tmp_path):
    (tmp_path / "j").write_text(json.dumps({"id": "a", "thoughts": ["Red ball."] * 3}) + "\n")
    with Journal(tmp_path / "j") as journal:
        model = Model(lambda _: "My red ball.")
        found, _ = rephrase([episode(OLD, id="a")], LLMRephraser(model, PROMPTS), journal=journal)
    assert found[0].steps[0].thought == "My red ball."


def test_steps_of_an_episode_are_asked_side_by_side():
    class Slow(Model):
        running = most = 0

        async def ask(self, messages, count, seed):
            Slow.running += 1
            Slow.most = max(Slow.most, Slow.running)
            await asyncio.sleep(0.01)
            Slow.running -= 1
            return await super().ask(messages, count, seed)

    rephrase([episode(OLD, OLD, OLD)], LLMRephraser(Slow(lambda _: "Red ball."), PROMPTS))
    assert Slow.most == 3
