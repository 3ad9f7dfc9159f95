"""`snapshot` and `restore` against fresh replays."""

import pickle
import random

import numpy as np
import pytest
from minigrid.core.world_object import WorldObj
from minigrid.envs.babyai.core.verifier import Instr, ObjDesc

from depo_lightning.envs.babyai import BabyAIEnv
from depo_lightning.envs.babyai.levels import NAMES


def wander(env, rng, steps):
    """Random play: (actions, answers, marks before each action)."""
    actions, answers, marks = [], [], []
    for _ in range(steps):
        offered = env.actions()
        weights = [1 if action.startswith(("turn", "move", "check")) else 4 for action in offered]
        marks.append(env.snapshot())
        actions.append(rng.choices(offered, weights)[0])
        answers.append(env.step(actions[-1]))
        if answers[-1].done:
            break
    return actions, answers, marks


def dump(value):
    """Everything a minigrid level holds that could change, in comparable form; knows nothing of what marks keep."""
    if isinstance(value, (WorldObj, Instr, ObjDesc)):
        return type(value).__name__, {key: dump(item) for key, item in vars(value).items() if key != "env"}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [dump(item) for item in value]
    return value


def insides(env):
    level = env._level
    return dump([level.agent_pos, level.agent_dir, level.step_count, level.carrying, level.grid.grid, level.instrs])


@pytest.mark.parametrize("index", range(40), ids=NAMES)
def test_restoring_leaves_no_trace_of_what_was_played(index):
    env = BabyAIEnv(scoring="agentgym")
    for task in range(index, index + 120, 40):
        env.reset(task)
        rng = random.Random(task)
        for _ in range(4):
            mark, before = env.snapshot(), insides(env)
            wander(env, rng, 8)
            if mark.done:
                break
            env.restore(mark)
            assert insides(env) == before
            wander(env, rng, 5)
            if env.snapshot().done:
                break


@pytest.mark.parametrize("scoring", ["default", "agentgym"])
@pytest.mark.parametrize("index", range(40), ids=NAMES)
def test_play_goes_on_from_a_mark_as_if_nothing_had_happened(index, scoring):
    env, stranger, fresh = (BabyAIEnv(scoring=scoring) for _ in range(3))
    for task in (index + 80, index + 120):
        rng = random.Random(task)
        stranger.reset(task + 40)
        env.reset(task)
        actions, answers, marks = wander(env, rng, 25)
        for _ in range(3):
            kept = rng.randrange(len(actions))
            env.restore(marks[kept])
            assert env.step(actions[kept]) == answers[kept]
            env.restore(marks[kept])
            branch, branch_answers, _ = wander(env, rng, 8)
            fresh.reset(task)
            for action in actions[:kept]:
                fresh.step(action)
            assert fresh.snapshot() == marks[kept]
            assert [fresh.step(action) for action in branch] == branch_answers
            stranger.restore(pickle.loads(pickle.dumps(marks[kept])))
            assert [stranger.step(action) for action in branch] == branch_answers
            assert stranger.score == fresh.score == env.score


def test_a_finished_episode_can_be_taken_back():
    env = BabyAIEnv()
    env.reset(0)
    mark = env.snapshot()
    result = env.step("go to red ball 1")
    assert result.done
    over = env.snapshot()
    env.restore(mark)
    assert env.step("go to red ball 1") == result
    env.restore(mark)
    env.restore(over)
    with pytest.raises(RuntimeError):
        env.step("turn left")


def test_levels_draw_no_random_numbers_while_played():
    """Marks leave out the generator: no level may touch it after the reset."""
    env = BabyAIEnv(scoring="agentgym")
    for task in range(40):
        env.reset(task)
        generator = env._level.np_random.bit_generator
        before = generator.state
        wander(env, random.Random(task), 15)
        assert generator.state == before
