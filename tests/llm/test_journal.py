import asyncio
import json
from functools import partial

import pytest

from depo_lightning.agents.teacher import ScriptedTeacher
from depo_lightning.collect.journal import Journal, tree_from_row, tree_row
from depo_lightning.collect.mcts import SearchSettings, search_tree
from depo_lightning.collect.run import collect
from depo_lightning.envs import make
from depo_lightning.errors import DataError, MachineError
from depo_lightning.trajectory import Status

SETTINGS = SearchSettings(simulations=2)
MAKE_ENV = partial(make, "babyai", levels=["GoToObjS6"])
TASKS = [3, 43, 83, 123]


class Failing(ScriptedTeacher):
    """Breaks down after so many proposals, for good or as one tree's crash."""

    left = 0
    error: type[Exception] = MachineError
    calls = 0

    async def propose(self, messages, k, seed):
        Failing.calls += 1
        Failing.left -= 1
        if Failing.left < 0:
            raise Failing.error("no more")
        return await super().propose(messages, k, seed)


@pytest.fixture(autouse=True)
def _fresh():
    Failing.left, Failing.error, Failing.calls = 0, MachineError, 0


def test_a_tree_comes_back_as_it_was():
    result = asyncio.run(search_tree(MAKE_ENV(), ScriptedTeacher(), 3, SETTINGS, 0))
    assert tree_from_row(json.loads(json.dumps(tree_row(result)))) == result


def test_lines_survive_and_half_a_line_does_not(tmp_path):
    path = tmp_path / "progress" / "j.jsonl"
    with Journal(path) as journal:
        assert journal.rows == []
        journal.append({"a": "ü\u2028"})
        journal.append({"a": 2})
    with path.open("ab") as file:
        file.write(b'{"a": 3')
    with Journal(path) as journal:
        assert journal.rows == [{"a": "ü\u2028"}, {"a": 2}]
        journal.append({"a": 4})
    with Journal(path) as journal:
        assert [row["a"] for row in journal.rows] == ["ü\u2028", 2, 4]


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "j").write_text('{"a": 1}\nnonsense\n{"a": 2}\n')
    with pytest.raises(DataError, match=r"j:2: no JSON object"):
        Journal(tmp_path / "j")


def test_a_finished_tree_is_never_asked_again(tmp_path):
    Failing.left = 10**6
    whole = collect(MAKE_ENV, Failing, TASKS, SETTINGS, 0)
    half, Failing.calls = Failing.calls // 2, 0
    Failing.left = half
    with Journal(tmp_path / "j") as journal, pytest.raises(MachineError, match="no more"):
        collect(MAKE_ENV, Failing, TASKS, SETTINGS, 0, journal=journal)
    first, seen = Failing.calls, []
    with Journal(tmp_path / "j") as journal:
        kept = [row["report"]["task"] for row in journal.rows]
        assert 0 < len(kept) < len(TASKS)
        Failing.left = 10**6
        again = collect(MAKE_ENV, Failing, TASKS, SETTINGS, 0, on_tree=seen.append, journal=journal)
    assert again == whole
    assert [report.task for report in seen] == TASKS
    alone = Failing.calls - first
    Failing.calls = 0
    collect(MAKE_ENV, Failing, [task for task in TASKS if task not in kept], SETTINGS, 0)
    assert alone == Failing.calls
    with Journal(tmp_path / "j") as journal:
        Failing.left = 0  # nobody is asked any more
        assert collect(MAKE_ENV, Failing, TASKS, SETTINGS, 0, journal=journal) == whole


def test_a_crashed_tree_is_not_finished(tmp_path):
    Failing.left = 10**6
    collect(MAKE_ENV, Failing, TASKS[:1], SETTINGS, 0)
    Failing.left, Failing.error = Failing.calls, ValueError  # enough for the first tree alone
    with Journal(tmp_path / "j") as journal:
        found = collect(MAKE_ENV, Failing, TASKS[:2], SETTINGS, 0, journal=journal)
        assert found[-1].status is Status.CRASHED
    with Journal(tmp_path / "j") as journal:
        assert [row["report"]["task"] for row in journal.rows] == TASKS[:1]


@pytest.mark.parametrize(
    "line", ["{}", '{"report": 3, "trajectories": []}', '{"report": {"odd": 1}, "trajectories": []}']
)
def test_a_line_of_another_kind_is_named(line, tmp_path):
    (tmp_path / "j").write_text(line + "\n")
    with Journal(tmp_path / "j") as journal, pytest.raises(DataError, match=r"j:1: holds something else .*delete the"):
        journal.read(tree_from_row)
