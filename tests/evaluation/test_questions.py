"""Accuracy and tokens of answers, their differences to BC, and their part of the table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from depo_lightning.evaluation.metrics import summarise
from depo_lightning.evaluation.paired import policy_results
from depo_lightning.evaluation.questions import answer_lines, questions_results
from depo_lightning.evaluation.table import markdown_table
from depo_lightning.stages.report import objectives
from depo_lightning.tracking import flat_results
from depo_lightning.trajectory import Trajectory

Make = Callable[..., Trajectory]


def answers(episode: Make, right: str, tokens: list[int]) -> list[Trajectory]:
    """Answers to as many questions as there are letters, r for a right one."""
    extra = {"gold": "1", "extracted": "1", "undecided": False, "cut": False}
    made = [
        episode(index, [count], letter == "r") for index, (letter, count) in enumerate(zip(right, tokens, strict=True))
    ]
    return [replace(one, extra=dict(extra)) for one in made]


def test_accuracy_tokens_and_differences(episode: Make) -> None:
    given = {"bc": answers(episode, "rrww", [10, 20, 30, 40]), "depo": answers(episode, "rrrw", [5, 10, 15, 20])}
    given["depo"][3].extra["cut"] = True
    results = questions_results(given, seed=0)
    bc, depo = results["policies"]["bc"], results["policies"]["depo"]
    assert results["n"] == 4
    assert bc["metrics"]["accuracy"] == {"mean": 0.5, "se": pytest.approx(math.sqrt(1 / 3) / 2), "n": 4}
    assert bc["metrics"]["tokens"]["mean"] == 25
    assert bc["metrics"]["tokens_correct"] == {"mean": 15, "se": 5, "n": 2}
    assert bc["difference_to_bc"] is None
    assert depo["counts"] == {"right": 3, "cut": 1, "undecided": 0}
    assert depo["difference_to_bc"]["accuracy"]["mean"] == 0.25
    assert depo["difference_to_bc"]["tokens_percent"]["mean"] == pytest.approx(-50)


def test_the_table_shows_each_set_and_is_unchanged_without(episode: Make) -> None:
    played = [episode(task, [10], True) for task in range(4)]
    results = {"policies": {"bc": policy_results(summarise(played))}}
    plain = markdown_table(results)
    results["questions"] = {"sums": questions_results({"bc": answers(episode, "rrww", [10, 20, 30, 40])}, 0)}
    text = markdown_table(results)
    assert text.startswith(plain.rstrip("\n"))
    for row in (
        "| sums | BC |",
        "| accuracy | 0.500 ± 0.289 |",
        "| tokens | 25.0 ± 6.5 |",
        "| right/cut/open | 2/0/0 |",
    ):
        assert row in text
    assert "4 questions out of domain" in text


def test_numbers_for_sweeps_and_trackers(episode: Make) -> None:
    given = {"bc": answers(episode, "rrww", [10, 20, 30, 40]), "depo": answers(episode, "rrrw", [5, 10, 15, 20])}
    played = [episode(task, [10], True) for task in range(4)]
    policies = {name: policy_results(summarise(played)) for name in given}
    results = {"main": "depo", "policies": policies, "questions": {"sums": questions_results(given, 0)}}
    for flat in (objectives(results), flat_results(results)):
        assert (flat["sums/accuracy"], flat["depo/sums/accuracy"], flat["bc/sums/accuracy"]) == (0.75, 0.75, 0.5)
        assert flat["bc/sums/tokens_se"] == pytest.approx(6.4549722)
        assert flat["success_rate"] == 1
    assert flat_results(results)["depo/sums/difference/tokens"] == pytest.approx(-12.5)


def test_lines_of_answers(episode: Make) -> None:
    given = answers(episode, "r", [7])
    unanswered = replace(given[0], steps=(), success=False)
    first, second = map(json.loads, answer_lines({"sums": {"bc": given, "kto": [unanswered]}}))
    assert (first["set"], first["policy"], first["index"], first["tokens"], first["correct"]) == (
        "sums",
        "bc",
        0,
        7,
        True,
    )
    assert (first["question"], first["gold"], first["text"]) == ("seen", "1", "Action: go")
    assert second["text"] is None
    assert second["correct"] is False
