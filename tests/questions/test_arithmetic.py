"""The generated set: its answers are right, and it is the same set each time."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from depo_lightning.questions.answers import grade
from depo_lightning.questions.arithmetic import arithmetic
from depo_lightning.questions.question import Question


def level(name: str) -> list[Question]:
    return [question for question in arithmetic(320, seed=5) if question.level == name]


def value_of(expression: str) -> Fraction:
    """Python's own arithmetic, on fractions."""
    return eval(re.sub(r"\d+", r"Fraction(\g<0>)", expression), {"Fraction": Fraction})


def test_the_set_depends_on_seed_and_index_alone() -> None:
    assert arithmetic(40, 7) == arithmetic(200, 7)[:40]
    assert arithmetic(40, 7) != arithmetic(40, 8)
    assert len({question.level for question in arithmetic(8, 0)}) == 8


@pytest.mark.parametrize("name", ["integers", "expressions", "fractions"])
def test_expressions_are_computed(name: str) -> None:
    for question in level(name):
        found = re.match(r"(?:What is|Compute) (.*?)[?.](?: Give|$)", question.question)
        assert found is not None
        assert Fraction(question.answer) == value_of(found[1])


def test_equations_hold() -> None:
    for question in level("equations"):
        left, right = question.question.removeprefix("Solve for x: ").removesuffix(".").split(" = ")
        assert value_of(left.replace("x", f" * ({question.answer})")) == int(right)
    for question in level("systems"):
        x, y = re.fullmatch(r"x=(-?\d+), y=(-?\d+)", question.answer).groups()  # type: ignore[union-attr]
        first, second = re.findall(r"(\S+ [+-] \S+) = (-?\d+)", question.question)
        values = [
            side.replace("x", f" * ({x})").replace("y", f" * ({y})").lstrip(" *") for side in (first[0], second[0])
        ]
        values[1] = f"({x}) - ({y})"
        assert [value_of(side) for side in values] == [int(first[1]), int(second[1])]


def test_measures_and_percentages() -> None:
    trains = [re.match(r"A train runs at (\d+) km/h.* in (\d+) minutes", q.question) for q in level("units")]
    for question, found in zip(level("units"), trains, strict=True):
        if found:
            assert Fraction(question.answer.removesuffix(" km")) == Fraction(int(found[1]) * int(found[2]), 60)
    assert any(trains)
    for question in level("percentages"):
        if found := re.match(r"What is (\d+)% of (\d+)\?", question.question):
            assert Fraction(question.answer) == Fraction(int(found[1]) * int(found[2]), 100)


def test_every_answer_grades_itself_and_no_other_level_neighbour() -> None:
    for question in arithmetic(80, 1):
        assert grade(question.answer, f"So the answer is {question.answer}.").correct
        assert not grade(question.answer, "The answer is 123456789.").correct
