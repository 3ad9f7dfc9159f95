"""Scoring, actions, task numbering and configuration of the BabyAI environment."""

import random

import pytest

from depo_lightning import envs
from depo_lightning.envs.babyai import BabyAIEnv
from depo_lightning.envs.babyai.levels import NAMES
from depo_lightning.envs.base import Split
from depo_lightning.errors import ConfigError

RED_BALL = 0  # GoToRedBallGrey, seed 0: the ball is in sight; 64 low-level steps at most
RED_DOOR = 12  # OpenRedDoor, seed 0: the door is in sight; 50 low-level steps at most
BLUE_DOOR = 2 * 40 + 14  # OpenRedBlueDoorsDebug, seed 2: red first, but only the blue door is in sight


def play(env, task, *actions):
    env.reset(task)
    return [env.step(action) for action in actions][-1]


@pytest.mark.parametrize("index", range(40), ids=NAMES)
def test_levels_reset_deterministically_in_any_order(index):
    env, other = BabyAIEnv(), BabyAIEnv(scoring="agentgym")
    other.reset(index + 40)
    first = env.reset(index)
    assert first == other.reset(index)
    assert first.startswith("Your goal: ")
    assert first.endswith(', "check available actions"]')
    assert env.reset(index + 40) != first
    assert env.reset(index) == first
    assert env.level(index + 400) == NAMES[index]


@pytest.mark.parametrize("scoring", ["default", "agentgym"])
def test_same_actions_same_answers(scoring):
    for task in range(0, 400, 13):
        runs = []
        for _ in range(2):
            env, rng = BabyAIEnv(scoring=scoring), random.Random(task)
            runs.append([env.reset(task)])
            for _ in range(10):
                runs[-1].append(env.step(rng.choice(env.actions())))
                if runs[-1][-1].done:
                    break
        assert runs[0] == runs[1]


def test_opening_and_going_through_is_a_success_by_default_only():
    action = "toggle and go through red closed door 1"
    result = play(BabyAIEnv(), RED_DOOR, action)
    assert (result.done, result.success, result.valid) == (True, True, True)
    # 1 ahead, 1 to the left: one step, one turn, then the toggle that opens the door: 3 of 50 steps
    assert result.reward == 1 - 0.9 * 3 / 50
    assert "\n The task is completed." in result.observation
    result = play(BabyAIEnv(scoring="agentgym"), RED_DOOR, action)
    assert (result.done, result.success, result.reward) == (False, False, 0.0)
    assert "completed" not in result.observation


def test_late_success_counts_by_default_only():
    late = ["turn left"] * 48 + ["go to red ball 1"]
    result = play(BabyAIEnv(), RED_BALL, *late)
    assert (result.done, result.success) == (True, True)
    assert 0.1 < result.reward < 0.35
    env = BabyAIEnv(scoring="agentgym")
    same = play(env, RED_BALL, *late)
    assert (same.done, same.success, same.reward) == (False, False, result.reward)
    assert "\n The task is completed." in same.observation
    # the server adds the standing reward once more for every further answer
    assert env.step("").reward == result.reward
    assert env.score == 2 * result.reward


def test_out_of_steps_ends_without_reward_by_default_only():
    env = BabyAIEnv()
    assert not play(env, RED_BALL, *["turn left"] * 63).done
    result = env.step("turn left")
    assert (result.done, result.success, result.reward, result.valid) == (True, False, 0.0, True)
    assert "completed" not in result.observation
    assert not play(BabyAIEnv(scoring="agentgym"), RED_BALL, *["turn left"] * 70).done


def test_success_with_the_last_step_counts():
    env = BabyAIEnv()
    needed = round((1 - play(env, RED_BALL, "go to red ball 1").reward) / 0.9 * 64)
    spare, odd = divmod(64 - needed, 2)
    assert odd == 0
    result = play(env, RED_BALL, *["turn left", "turn right"] * spare, "go to red ball 1")
    assert (result.done, result.success) == (True, True)
    assert result.reward == pytest.approx(0.1)
    assert not play(env, RED_BALL, *["turn left", "turn right"] * (spare + 1), "go to red ball 1").success


def test_failed_mission_ends_by_default_only():
    action = "toggle and go through blue closed door 1"
    result = play(BabyAIEnv(), BLUE_DOOR, action)
    assert (result.done, result.success, result.reward) == (True, False, 0.0)
    assert "completed" not in result.observation
    assert not play(BabyAIEnv(scoring="agentgym"), BLUE_DOOR, action).done


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("", "No change in state."),
        ("!?", "No change in state."),
        ("dance", "The action is not recognized. Please check valid actions."),
        ("go to red ball 7", "The action is not recognized. Please check valid actions."),
        ("drop", "You cannot drop the object, as you are not carrying anything."),
    ],
)
def test_refused_actions_change_nothing(action, answer):
    env = BabyAIEnv()
    env.reset(RED_BALL)
    before, offered = env.snapshot(), env.actions()
    result = env.step(action)
    assert result.observation.startswith(answer + "\nAvailable actions: [")
    assert (result.valid, result.done, result.reward) == (False, False, 0.0)
    assert env.snapshot() == before
    assert env.actions() == offered


def test_cleaning_and_checking():
    env = BabyAIEnv()
    env.reset(RED_BALL)
    expected = env.step("go to red ball 1").observation
    assert play(env, RED_BALL, "[Go  to RED ball 1].\t").observation == expected
    result = play(env, RED_BALL, "check available actions")
    assert result.valid
    assert result.observation.startswith("You can take the following actions: turn left, turn right, ")
    assert env.step("I check").observation == result.observation


def test_steps_outside_an_episode_are_refused():
    env = BabyAIEnv()
    for call in (env.actions, env.snapshot, lambda: env.step("turn left")):
        with pytest.raises(RuntimeError, match="call reset"):
            call()
    assert play(env, RED_BALL, "go to red ball 1").done
    with pytest.raises(RuntimeError, match="call reset"):
        env.step("turn left")


def test_splits_are_disjoint_and_cycle_through_the_levels():
    env = BabyAIEnv(levels=["GoToDoor", "BabyAI-OpenRedDoor-v0", 1])
    splits = {split: env.tasks(split, 100) for split in Split}
    seeds = {split: {task // 40 for task in tasks} for split, tasks in splits.items()}
    assert all(len(set(tasks)) == 100 for tasks in splits.values())
    assert seeds[Split.TEST] == {10 * n for n in range(34)}
    assert seeds[Split.VALIDATION] == {10 * n + 1 for n in range(34)}
    assert sorted(seeds[Split.TRAIN]) == [s for s in range(100) if s % 10 > 1][:34]
    for tasks in splits.values():
        assert [env.level(task) for task in tasks[:4]] == ["GoToDoor", "OpenRedDoor", "GoToRedBallGrey", "GoToDoor"]
        assert env.tasks(Split.TRAIN, 7) == splits[Split.TRAIN][:7]


def test_levels_can_be_named_in_several_ways():
    assert BabyAIEnv().levels == BabyAIEnv(levels="all").levels == tuple(range(40))
    assert BabyAIEnv(levels=["GoToRedBall", "BabyAI-BossLevel-v0", 3, "4"]).levels == (1, 38, 2, 3)
    assert isinstance(envs.make("babyai", levels="GoToDoor", scoring="agentgym"), BabyAIEnv)


def test_configuration_faults_come_all_at_once_with_remedies():
    with pytest.raises(ConfigError) as caught:
        BabyAIEnv(levels=["GoToRedBal", 41, "GoToDoor", 10])
    first, second, third = caught.value.faults
    assert "'GoToRedBal'" in first
    assert "did you mean GoToRedBall, " in first
    assert "41" in second
    assert "1 to 40" in second
    assert "GoToDoor 2 times" in third
    with pytest.raises(ConfigError, match="at least one level"):
        BabyAIEnv(levels=[])
    with pytest.raises(ConfigError, match=r"scoring='strict'.*'agentgym'"):
        BabyAIEnv(scoring="strict")
    with pytest.raises(ConfigError, match="start at 0"):
        BabyAIEnv().reset(-1)
