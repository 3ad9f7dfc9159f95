from __future__ import annotations

import io

import pytest
from rich.console import Console

from depo_lightning.evaluation.metrics import summarise
from depo_lightning.evaluation.paired import paired_difference, policy_results
from depo_lightning.evaluation.table import markdown_table, plus_minus, policy_label, results_table, with_interval
from depo_lightning.trajectory import Status


@pytest.fixture
def results(episodes, episode):
    played = {"bc": episodes(40, 1), "filtered_bc": episodes(40, 2, 0.9, 15), "kto": episodes(40, 3)}
    played["depo"] = [*episodes(39, 4), episode(39, [5], False, status=Status.CRASHED)]
    return {
        "policies": {
            name: policy_results(summarise(t), None if name == "bc" else paired_difference(t, played["bc"], seed=0))
            for name, t in played.items()
        }
    }


def printed(results, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(results_table(results))
    return out.getvalue()


def test_cells():
    assert plus_minus({"mean": 0.7461, "se": 0.0149, "n": 9}, 3) == "0.746 ± 0.015"
    assert plus_minus({"mean": 3.0, "se": None, "n": 1}, 1) == "3.0"
    assert plus_minus({"mean": None, "se": None, "n": 0}, 1) == "–"
    difference = {"mean": -12.34, "low": -20.0, "high": -4.0, "n": 9, "resolved": True}
    assert with_interval(difference, 1) == "-12.3 * [-20.0, -4.0]"
    assert with_interval({**difference, "high": 4.0, "resolved": False}, 1) == "-12.3 [-20.0, +4.0]"
    assert with_interval({**difference, "low": None, "resolved": False}, 1) == "-12.3"


def test_labels():
    assert policy_label("depo") == "DEPO"
    assert policy_label("bc_low_temperature") == "bc low temperature"
    assert policy_label("depo", {"label": "DEPO + penalty"}) == "DEPO + penalty"


def test_terminal_table_holds_every_number_in_80_columns(results):
    text = printed(results, 80)
    assert max(map(len, text.splitlines())) <= 80
    depo = results["policies"]["depo"]
    assert plus_minus(depo["metrics"]["success_rate"], 3) in text
    assert plus_minus(depo["metrics"]["tokens_all"], 1) in text
    tokens = depo["difference_to_bc"]["tokens"]
    assert f"[{tokens['low']:+.1f}, {tokens['high']:+.1f}]" in text
    assert "39/0/1" in text


def test_markdown_has_two_tables_with_equal_columns(results):
    text = markdown_table(results)
    estimates, differences = (
        [line for line in block.splitlines() if line.startswith("|")] for block in text.split("\n\n")[::2]
    )
    assert {line.count("|") for line in estimates} == {6}
    assert {line.count("|") for line in differences} == {5}  # BC is not compared with itself
    assert plus_minus(results["policies"]["kto"]["metrics"]["steps_all"], 2) in text


def test_without_a_baseline_there_are_no_differences(results):
    alone = {"policies": {"bc": results["policies"]["bc"]}}
    assert "difference" not in printed(alone, 80)
    assert "difference" not in markdown_table(alone)
