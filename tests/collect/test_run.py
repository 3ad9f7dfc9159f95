import asyncio
import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from depo_lightning.agents.teacher import ScriptedTeacher
from depo_lightning.collect.mcts import SearchSettings
from depo_lightning.collect.run import collect, collect_each
from depo_lightning.envs import make
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.trajectory import Status

SETTINGS = SearchSettings(simulations=3)
MAKE_ENV = partial(make, "babyai", levels=["GoToObjS6"])
TASKS = [3, 43, 83, 123, 163, 203]


def test_the_result_does_not_depend_on_processes_or_concurrency():
    reports = []
    one = collect(MAKE_ENV, ScriptedTeacher, TASKS, SETTINGS, seed=5)
    many = collect(MAKE_ENV, ScriptedTeacher, TASKS, SETTINGS, 5, workers=2, concurrency=3, on_tree=reports.append)
    assert many == one
    assert sorted(report.task for report in reports) == TASKS
    assert list(dict.fromkeys(t.task for t in one)) == TASKS
    assert len({t.id for t in one}) == len(one)
    assert collect(MAKE_ENV, ScriptedTeacher, TASKS, SETTINGS, seed=6) != one


def test_order_follows_the_tasks_not_the_clock(line, talker):
    class SlowAtFirst(talker):
        async def propose(self, messages, k, seed):
            if not self.calls:
                self.calls.append("slow")
                await asyncio.sleep(0.05)
            return await super().propose(messages, k, seed)

    reports = []
    arguments = (line, partial(SlowAtFirst, "right"), [4, 0, 2], SearchSettings(1, 1), 0)
    found = collect(*arguments, concurrency=3, on_tree=reports.append)
    assert [report.task for report in reports] == [0, 2, 4]
    assert [t.task for t in found] == [4, 0, 2]


def test_a_search_that_never_waits_can_be_interrupted(line, talker):
    seen = []

    def interrupt(report):
        seen.append(report.task)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        collect(line, partial(talker, "right"), range(50), SearchSettings(1, 1), 0, on_tree=interrupt)
    assert len(seen) < 5


@pytest.mark.parametrize("concurrency", [1, 2])
def test_episodes_are_handed_on_while_the_search_goes_on(line, talker, concurrency):
    events = []
    collect_each(
        line,
        partial(talker, "right"),
        [4, 0, 2, 3],
        SearchSettings(1, 1),
        0,
        keep=lambda episode: events.append(("episode", episode.task)),
        on_tree=lambda report: events.append(("tree", report.task)),
        concurrency=concurrency,
    )
    assert events == [(what, task) for task in (4, 0, 2, 3) for what in ("tree", "episode")]


def test_one_crashed_tree_leaves_the_others(line, talker):
    found = collect(partial(line, broken="reset 1"), partial(talker, "right"), [0, 1, 2], SearchSettings(1, 1), 0)
    assert [t.status for t in found] == [Status.FINISHED, Status.CRASHED, Status.FINISHED]


def test_all_trees_crashed_is_an_error(line, talker):
    with pytest.raises(MachineError, match=r"all 2 searches crashed.*no such world"):
        collect(partial(line, broken="reset"), partial(talker, "right"), [0, 1], SETTINGS, 0)


def test_a_dead_process_is_a_clear_error():
    with pytest.raises(MachineError, match=r"process died.*search\.workers=2"):
        collect(partial(os._exit, 9), ScriptedTeacher, TASKS, SETTINGS, 0, workers=2)


def test_a_fault_in_a_process_arrives_as_itself():
    with pytest.raises(ConfigError, match="atlantis"):
        collect(partial(make, "atlantis"), ScriptedTeacher, TASKS, SETTINGS, 0, workers=2)


def test_arguments_are_checked(line, talker):
    with pytest.raises(ConfigError) as caught:
        collect(line, partial(talker, "right"), [1, 2, 1], SETTINGS, 0, workers=0, concurrency=0)
    assert len(caught.value.faults) == 3


def test_works_inside_a_running_event_loop(line, talker):
    async def notebook():
        return collect(line, partial(talker, "right"), [0], SearchSettings(1, 1), 0)

    assert len(asyncio.run(notebook())) == 1


def test_workers_do_not_import_torch():
    code = "import sys, depo_lightning.collect.run, depo_lightning.envs.babyai; print({'torch'} & {*sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
