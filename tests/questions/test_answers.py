"""Hand-made pairs of a right answer and a text; `data/answers.jsonl` says of each whether it is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from depo_lightning.questions.answers import final_answer, grade, reference_answer
from depo_lightning.questions.notation import comparable

PAIRS = Path(__file__).parent / "data" / "answers.jsonl"


def pairs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]


def test_there_are_enough_pairs_of_every_kind() -> None:
    rows = pairs()
    assert len(rows) >= 200
    for kind in ("integer", "decimal", "fraction", "thousands", "percent", "unit", "latex", "set", "prose"):
        assert {row["correct"] for row in rows if row["kind"] == kind} == {True, False}


@pytest.mark.parametrize("kind", sorted({row["kind"] for row in pairs()}))
def test_every_pair_is_graded_right(kind: str) -> None:
    rows = [row for row in pairs() if row["kind"] == kind]
    wrong = [row for row in rows if grade(row["gold"], row["text"]).correct is not row["correct"]]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{3} and then \boxed{4}", "3, 4"),
        ("\\boxed{3}\n\\boxed{\\frac{1}{\\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"The answer is 5. #### 6", "6"),
        ("The answer is 7.\nThe answer is 8.", "8"),
        ("The answer is $1,200.50 in all.", "$1,200.50 in all"),
        ("The answer is 6, because 3 + 3 = 6.", "6"),
        ("first 3, then 25%", "25%"),
        (r"It is \(\frac{2}{3}\), not more", r"\(\frac{2}{3}\)"),
        (r"\boxed{unclosed", ""),
        ("no number at all", ""),
        ("", ""),
    ],
)
def test_what_is_taken_for_the_answer(text: str, answer: str) -> None:
    assert final_answer(text) == answer


def test_the_reference_answer_of_a_solution() -> None:
    assert reference_answer("She eats 3.\nSo 9 are left.\n#### 9") == "9"
    assert reference_answer(r"Adding gives $x = \boxed{\frac{1}{2}}$.") == r"\frac{1}{2}"
    assert reference_answer(" 12 ") == "12"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("$1,234.50", "1234.50"),
        ("1 234 567", "1234567"),
        ("100, 200", "100, 200"),
        ("-2 3/4", r"-(2+\frac{3}{4})"),
        ("3.5 hours", "3.5"),
        ("2x", "2x"),
        ("12 %", r"12 \%"),
        (r"\text{no solution}", "no solution"),
    ],
)
def test_notation(written: str, read: str) -> None:
    assert comparable(written) == read
