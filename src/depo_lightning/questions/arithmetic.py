"""Generated arithmetic with exact answers: the set that needs neither a network nor a file.

Eight levels in turn, from sums of integers to two equations with two unknowns. Question i depends on seed and i alone,
so a smaller set is the beginning of a larger one.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from depo_lightning.questions.question import Question

_THINGS = ("apples", "marbles", "pencils", "stickers", "tickets", "coins")
_NAMES = ("Ada", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo")
_UNITS = (
    ("kilometres", "metres", 1000),
    ("hours", "minutes", 60),
    ("metres", "centimetres", 100),
    ("days", "hours", 24),
)


class _Draw:
    """Random choices of one question."""

    def __init__(self, seed: int, index: int) -> None:
        self._random = np.random.default_rng([seed, index])

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return int(self._random.integers(low, high + 1))

    def of(self, choices: tuple[str, ...]) -> str:
        return choices[self.between(0, len(choices) - 1)]


def arithmetic(count: int, seed: int) -> list[Question]:
    """The first `count` questions of a seed."""
    questions = []
    for index in range(count):
        name, make = _LEVELS[index % len(_LEVELS)]
        questions.append(Question(*make(_Draw(seed, index)), level=name))
    return questions


def _integers(draw: _Draw) -> tuple[str, str]:
    a, b, c = draw.between(12, 99), draw.between(3, 99), draw.between(2, 12)
    text, value = (
        (f"{a} + {b}", a + b),
        (f"{a} - {b}", a - b),
        (f"{a} * {c}", a * c),
        (f"{a * c} / {c}", a),
    )[draw.between(0, 3)]
    return f"What is {text}?", str(value)


def _expressions(draw: _Draw) -> tuple[str, str]:
    a, b, c, d = draw.between(2, 20), draw.between(2, 12), draw.between(2, 12), draw.between(2, 30)
    text, value = (
        (f"{a} + {b} * {c} - {d}", a + b * c - d),
        (f"({a} + {b}) * {c} - {d}", (a + b) * c - d),
        (f"{d} - {b} * ({a} - {c})", d - b * (a - c)),
        (f"({a} - {d}) * ({b} + {c})", (a - d) * (b + c)),
    )[draw.between(0, 3)]
    return f"Compute {text}.", str(value)


def _fractions(draw: _Draw) -> tuple[str, str]:
    p, q = Fraction(draw.between(1, 9), draw.between(2, 9)), Fraction(draw.between(1, 9), draw.between(2, 9))
    sign, value = (("+", p + q), ("-", p - q), ("*", p * q), ("/", p / q))[draw.between(0, 3)]
    return f"Compute ({p}) {sign} ({q}). Give the answer as a fraction in lowest terms.", str(value)


def _percentages(draw: _Draw) -> tuple[str, str]:
    percent, amount = 5 * draw.between(1, 19), 20 * draw.between(2, 40)
    kind = draw.between(0, 2)
    if kind == 0:
        return f"What is {percent}% of {amount}?", str(Fraction(percent * amount, 100))
    if kind == 1:
        price = Fraction(amount * (100 - percent), 100)
        return f"A coat costs ${amount}. Its price falls by {percent}%. What does it cost then, in dollars?", str(price)
    part = Fraction(percent * amount, 100)
    return f"{part} of {amount} seats are taken. What percentage of the seats is that?", f"{percent}%"


def _units(draw: _Draw) -> tuple[str, str]:
    large, small, factor = _UNITS[draw.between(0, len(_UNITS) - 1)]
    whole, rest = draw.between(2, 15), draw.between(1, factor - 1)
    if draw.between(0, 1):
        return f"How many {small} are {whole} {large} and {rest} {small}?", f"{whole * factor + rest} {small}"
    speed, hours = 4 * draw.between(3, 30), Fraction(draw.between(3, 18), 4)
    return (
        f"A train runs at {speed} km/h. How many kilometres does it cover in {hours * 60} minutes?",
        f"{speed * hours} km",
    )


def _stories(draw: _Draw) -> tuple[str, str]:
    name, friend, things = draw.of(_NAMES[:4]), draw.of(_NAMES[4:]), draw.of(_THINGS)
    boxes, each, given, extra = draw.between(3, 12), draw.between(4, 25), draw.between(1, 11), draw.between(2, 40)
    total = boxes * each
    if draw.between(0, 1):
        return (
            f"{name} has {boxes} boxes with {each} {things} each, gives {given} {things} to {friend} and finds {extra} "
            f"more. How many {things} does {name} have now?",
            str(total - given + extra),
        )
    return (
        f"{name} buys {boxes} bags of {things} for ${each} each and pays with ${total + extra}. How much change does "
        f"{name} get, in dollars?",
        str(extra),
    )


def _equations(draw: _Draw) -> tuple[str, str]:
    a, x, b = draw.between(2, 12), draw.between(-15, 15), draw.between(1, 40)
    return f"Solve for x: {a}x + {b} = {a * x + b}.", str(x)


def _systems(draw: _Draw) -> tuple[str, str]:
    x, y, a, b = draw.between(-9, 9), draw.between(-9, 9), draw.between(2, 6), draw.between(1, 5)
    text = f"Solve the equations {a}x + {b}y = {a * x + b * y} and x - y = {x - y} for x and y."
    return text, f"x={x}, y={y}"


_LEVELS: tuple[tuple[str, Callable[[_Draw], tuple[str, str]]], ...] = (
    ("integers", _integers),
    ("expressions", _expressions),
    ("fractions", _fractions),
    ("percentages", _percentages),
    ("units", _units),
    ("stories", _stories),
    ("equations", _equations),
    ("systems", _systems),
)
