"""What an episode makes of turns, whoever says them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from depo_lightning.agents.react import ONE_ACTION_ONLY
from depo_lightning.envs.base import Split, StepResult, TextEnv
from depo_lightning.rollouts.episode import Episode
from depo_lightning.trajectory import Status, Step


class StubEnv(TextEnv):
    """Answers every action with `answer(action)`."""

    name = "stub"
    system_prompt = "Go."

    def __init__(self, answer: Callable[[str], StepResult]) -> None:
        self.answer = answer

    def reset(self, task: int) -> str:
        return f"start {task}"

    def step(self, action: str) -> StepResult:
        return self.answer(action)

    def actions(self) -> list[str]:
        return []

    def snapshot(self) -> Any:
        return None

    def restore(self, mark: Any) -> None:
        return None

    def tasks(self, split: Split, count: int) -> list[int]:
        return list(range(count))

    def level(self, task: int) -> str:
        return "easy"


def episode(answer: Callable[[str], StepResult], max_steps: int = 3) -> Episode:
    return Episode(StubEnv(answer), task=7, seed=1, max_steps=max_steps)


def test_an_episode_to_its_end() -> None:
    ended = episode(lambda action: StepResult(f"did {action}", 0.8, done=action == "stop", valid=True, success=True))
    ended.play("Thought:\nI see.\n\nAction:\ngo on", 9)
    assert ended.status is None
    assert [m["content"] for m in ended.messages] == [
        "Go.",
        "start 7",
        "Thought:\nI see.\n\nAction:\ngo on",
        "did go on",
    ]
    ended.play("Action: stop", 4)
    row = ended.trajectory()
    assert row.steps == (
        Step("start 7", "I see.", "go on", "Thought:\nI see.\n\nAction:\ngo on", 9, valid=True),
        Step("did go on", "", "stop", "Action: stop", 4, valid=True),
    )
    assert (row.id, row.task, row.seed, row.level, row.system) == ("stub-7-1", 7, 1, "easy", "Go.")
    assert (row.status, row.reward, row.success, row.error) == (Status.FINISHED, 0.8, True, "")
    assert list(row.extra) == ["seconds", "turn_seconds"]


def test_two_actions_are_answered_without_the_environment() -> None:
    def touched(action: str) -> StepResult:
        raise AssertionError(action)

    refused = episode(touched, max_steps=2)
    refused.play("Action: go\nAction: go", 5)
    refused.play("Action: go\nAction: go", 5)
    row = refused.trajectory()
    assert [(s.observation, s.valid, s.tokens) for s in row.steps] == [
        ("start 7", False, 5),
        (ONE_ACTION_ONLY, False, 5),
    ]
    assert (row.status, row.extra["reason"]) == (Status.TRUNCATED, "max_steps")


def test_the_last_of_several_actions_is_played_where_the_protocol_says_so() -> None:
    asked: list[str] = []
    shopping = episode(lambda action: asked.append(action) or StepResult("ok", 0.0, done=False, valid=True))
    shopping.env.last_action = True  # type: ignore[misc]  # as WebShop's
    shopping.play("Action: search[tea]\nAction: click[b]", 5)
    assert asked == ["click[b]"]
    assert shopping.messages[-1]["content"] == "ok"


def test_a_missing_action_is_for_the_environment_to_refuse() -> None:
    asked: list[str] = []
    mute = episode(lambda action: asked.append(action) or StepResult("what?", 0.0, done=False, valid=False))
    mute.play("no idea", 2)
    assert asked == [""]
    assert mute.messages[-1]["content"] == "what?"
    mute.truncate("max_context")
    assert [step.valid for step in mute.trajectory().steps] == [False]


def test_reward_of_a_truncated_episode_is_the_environments_but_it_is_no_success() -> None:
    cut = episode(lambda action: StepResult("on", 0.25, done=False, valid=True, success=True), max_steps=1)
    cut.play("Action: go", 1)
    row = cut.trajectory()
    assert (row.status, row.reward, row.success) == (Status.TRUNCATED, 0.25, False)


def test_a_turn_takes_the_time_from_its_observation_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def slow(action: str) -> StepResult:
        clock[0] += 100.0  # the environment's time is no turn's
        return StepResult("on", 0.5, done=action == "stop", valid=True)

    timed = episode(slow)
    for seconds, action in ((2.0, "go"), (0.25, "stop")):
        clock[0] += seconds
        timed.play(f"Action: {action}", 1)
    assert timed.trajectory().extra == {"seconds": 202.25, "turn_seconds": [2.0, 0.25]}


def test_a_crash_has_an_error_and_no_reward() -> None:
    def answer(action: str) -> StepResult:
        if action == "break":
            raise RuntimeError("the floor is gone")
        return StepResult("on", 0.25, done=False, valid=True)

    broken = episode(answer)
    broken.play("Action: go", 1)
    broken.play("Action: break", 1)
    row = broken.trajectory()
    assert (row.status, row.error, row.reward, row.success) == (
        Status.CRASHED,
        "RuntimeError: the floor is gone",
        0.0,
        False,
    )
    assert [step.valid for step in row.steps] == [True, False]
