import asyncio
import math
from dataclasses import replace

import pytest

from depo_lightning.agents.react import format_turn
from depo_lightning.collect.mcts import SearchSettings, search, search_tree
from depo_lightning.collect.tree import Node, uct
from depo_lightning.errors import ConfigError
from depo_lightning.trajectory import Status


def run(env, teacher, task=0, seed=0, **settings):
    return asyncio.run(search_tree(env, teacher, task, SearchSettings(**settings), seed))


def actions(trajectory):
    return [step.action for step in trajectory.steps]


def test_uct_is_equation_2():
    # Q = 1.5 / 3, N(parent) = 7, w = 2: 0.5 + 2 * sqrt(ln 7 / 3)
    assert uct(1.5, 3, 7, 2.0) == pytest.approx(0.5 + 2 * math.sqrt(1.9459101490553132 / 3), abs=1e-12)
    assert uct(0.0, 0, 7, 2.0) == math.inf


def test_selection_weighs_value_against_visits():
    root = Node(expanded=True, visits=12)
    good, rare = root.child("good"), root.child("rare")
    good.visits, good.value, rare.visits, rare.value = 10, 9.0, 2, 0.4
    assert root.select(exploration=0.1) is good  # 0.95 against 0.31
    assert root.select(exploration=2.0) is rare  # 2.43 against 1.90
    new = root.child("new")
    assert root.select(exploration=0.1) is new
    new.outcome = good.outcome = Status.FINISHED
    assert root.select(exploration=0.0) is rare


def test_backpropagation_reaches_the_root_and_spares_siblings():
    root = Node()
    child, other = root.child("a"), root.child("b")
    leaf = child.child("c")
    leaf.backpropagate(0.5)
    leaf.backpropagate(0.25)
    assert [(n.visits, n.value) for n in (root, child, leaf, other)] == [(2, 0.75), (2, 0.75), (2, 0.75), (0, 0.0)]


def test_every_path_is_found_once_and_the_search_stops_early(line, talker):
    """Depth 2, two actions: right-right, right-left, left-right are cut off, left-left loses."""
    result = run(line(), talker("right", "left"), simulations=200, proposals=2, max_depth=2)
    assert [actions(t) for t in result.trajectories] == [
        ["right", "right"],
        ["right", "left"],
        ["left", "right"],
        ["left", "left"],
    ]
    assert [t.status for t in result.trajectories] == [Status.TRUNCATED] * 3 + [Status.FINISHED]
    assert [t.source.path for t in result.trajectories] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [t.id for t in result.trajectories] == ["line-0-0.0", "line-0-0.1", "line-0-1.0", "line-0-1.1"]
    assert all(t.reward == 0 and not t.success for t in result.trajectories)
    assert result.report.simulations < 20
    assert result.report.paths == 4
    assert result.report.successes == 0


def test_episodes_are_what_the_environment_says(line, talker):
    """Each stored episode, played again from the start, gives the very same texts, rewards and end."""
    result = run(line(), talker("right", "left", "jump"), simulations=30, proposals=3, max_depth=7)
    assert result.report.paths > 10
    assert len({tuple(step.text for step in t.steps) for t in result.trajectories}) == result.report.paths
    for trajectory in result.trajectories:
        env = line()
        seen = env.reset(0)
        for step in trajectory.steps:
            assert step.observation == seen
            answer = env.step(step.action)
            assert step.valid == answer.valid
            seen = answer.observation
        assert answer.done == (trajectory.status is Status.FINISHED)
        assert (trajectory.reward, trajectory.success) == (answer.reward if answer.done else 0.0, answer.success)
        assert trajectory.level == "even"
        assert trajectory.system == "walk"


def test_teacher_sees_the_conversation_of_the_node(line, talker):
    class Listener(talker):
        async def propose(self, messages, k, seed):
            self.heard = [*getattr(self, "heard", []), [dict(m) for m in messages]]
            return await super().propose(messages, k, seed)

    teacher = Listener("right")
    run(line(), teacher, simulations=1, proposals=1, max_depth=2)
    turn = format_turn("so", "right")
    assert teacher.heard[1] == [
        {"role": "system", "content": "walk"},
        {"role": "user", "content": "cell 0 after 0"},
        {"role": "assistant", "content": turn},
        {"role": "user", "content": "cell 1 after 1"},
    ]


@pytest.mark.parametrize(("exploration", "least", "most"), [(0.0, 0.8, 1.0), (100.0, 0.4, 0.6)])
def test_exploration_decides_between_what_paid_off_and_what_is_new(line, talker, exploration, least, most):
    """Going right wins sooner and oftener; w = 0 stays with it, a large w visits both sides alike."""
    teacher = talker("right", "left", "jump")
    result = run(line(), teacher, simulations=60, proposals=2, exploration=exploration, max_depth=7)
    first = [actions(t)[0] for t in result.trajectories]
    assert least <= first.count("right") / len(first) <= most


def test_a_simulation_is_one_playout(line, talker):
    result = run(line(), talker("right", "left", "jump"), simulations=4, proposals=3, max_depth=7)
    assert result.report.simulations == 4
    assert result.report.paths <= 4
    assert {t.source.path[0] for t in result.trajectories} == {0, 1, 2}


def test_malformed_proposals_are_dropped_and_counted(line, talker):
    two = "Thought:\nboth\n\nAction:\nleft\nAction:\nright"
    result = run(line(), talker("right", two), simulations=1, proposals=2, max_depth=3)
    assert all(step.text != two for t in result.trajectories for step in t.steps)
    assert result.report.dropped >= 1
    assert result.report.error == ""
    nothing = run(line(), talker(two), simulations=5, proposals=2, max_depth=3)
    assert (nothing.report.paths, nothing.report.stalled, nothing.report.simulations) == (0, 1, 1)


def test_a_crash_is_reported_with_the_turns_that_led_to_it(line, talker):
    result = run(line(broken="left"), talker("right", "left"), simulations=9, proposals=2, max_depth=3)
    assert result.report.error == "ValueError: left breaks the world"
    crashed = [t for t in result.trajectories if t.status is Status.CRASHED]
    assert len(crashed) == 1
    assert crashed[0].error == result.report.error
    assert not crashed[0].success
    assert "left" not in actions(crashed[0])
    whole = run(line(broken="reset"), talker("right"))
    assert [t.status for t in whole.trajectories] == [Status.CRASHED]
    assert whole.trajectories[0].id == "line-0-root"
    assert whole.report.paths == 0


def test_a_teacher_that_fails_crashes_the_tree_only(line):
    class Deaf:
        async def propose(self, messages, k, seed):
            raise TimeoutError("no answer in 60 s")

    assert run(line(), Deaf()).report.error == "TimeoutError: no answer in 60 s"


def test_configuration_errors_are_not_swallowed(line, talker):
    class Wrong(line):
        def reset(self, task):
            raise ConfigError("env.levels='x': no such level")

    with pytest.raises(ConfigError, match="no such level"):
        run(Wrong(), talker("right"))


def test_same_seed_same_tree(line, talker):
    def once(seed, task=0):
        found = asyncio.run(search(line(), talker("right", "left", "jump"), task, SearchSettings(6, 2), seed))
        return [replace(t, seed=0) for t in found]

    assert once(0) == once(0)
    assert once(0) != once(1)


@pytest.mark.parametrize(
    ("field", "value"), [("simulations", 0), ("proposals", 0), ("max_depth", 0), ("exploration", -1.0)]
)
def test_settings_are_checked(field, value):
    with pytest.raises(ConfigError, match=f"search.{field}={value}"):
        SearchSettings(**{field: value})
