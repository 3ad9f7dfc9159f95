"""Goals: what a buyer asks for, numbered as the reference numbers them.

A product's instruction becomes several goals: a synthetic one for every combination of the product's options, a human
one for every price ceiling. Goals stand in the order of the data file and are then shuffled with a fixed seed.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

import numpy as np

from depo_lightning.choices import Instructions
from depo_lightning.envs.webshop.catalogue import Catalogue, Product
from depo_lightning.envs.webshop.reward import Kind, Wish

SEED = 233  # the reference's
ANY_PRICE = 1_000_000.0
_CEILINGS = tuple(10.0 * step for step in range(1, 100))
_CEILINGS_CONSIDERED = 4  # the lowest ones above the product's price


@dataclass(frozen=True, slots=True)
class Instruction:
    """One sentence about a product; a human one names its options (texts), a synthetic one leaves them open."""

    asin: str
    text: str
    attributes: tuple[str, ...]
    options: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """What one episode asks for."""

    asin: str
    text: str
    wish: Wish


@dataclass(frozen=True, slots=True)
class Numbering:
    """Which goals the instructions become, and in which order.

    Attributes:
        ends: how many goals the instructions up to each one become (I,).
        ceilings: dollars, for each instruction: of a synthetic one the ceiling of all its goals, of a human one the
            ceiling of each (I, 4).
        order: the goals in the order of the shuffle, numbered before it (G,).
    """

    ends: np.ndarray
    ceilings: np.ndarray
    order: np.ndarray


class Goals(Sequence[Goal]):
    """All goals of a catalogue, shuffled; a goal is put together when it is asked for.

    Args:
        catalogue: where the products are looked up.
        instructions: in the order of the catalogue.
        numbering: what `numbered` makes of the two.
    """

    def __init__(self, catalogue: Catalogue, instructions: Sequence[Instruction], numbering: Numbering) -> None:
        self._catalogue, self._instructions, self._numbering = catalogue, instructions, numbering

    def __len__(self) -> int:
        return len(self._numbering.order)

    def __getitem__(self, index: int) -> Goal:  # type: ignore[override]
        number, ends = int(self._numbering.order[index]), self._numbering.ends
        place = int(np.searchsorted(ends, number, side="right"))
        variant = number - (int(ends[place - 1]) if place else 0)
        instruction = self._instructions[place]
        product, ceilings = self._catalogue[instruction.asin], self._numbering.ceilings[place]
        if instruction.options is None:
            options = _combination(product, variant)
            told = ", and ".join(f"{name}: {value}" for name, value in options)
            text = instruction.text + (f" with {told}" if told else "")
            return _goal(product, instruction, text, options, float(ceilings[0]))
        text = instruction.text.strip(".")
        return _goal(product, instruction, text, instruction.options, float(ceilings[variant]))


def numbered(catalogue: Catalogue, instructions: Sequence[Instruction], kind: Instructions) -> Numbering:
    """Number the goals as the reference does; looks every product up."""
    human = kind is Instructions.human
    draw = random.Random(SEED)
    ceilings = np.zeros((len(instructions), _CEILINGS_CONSIDERED))
    counts = []
    for place, instruction in enumerate(instructions):
        product = catalogue[instruction.asin]
        above = _above(product.price)
        asked = above if human else _drawn(above, draw)
        ceilings[place, : len(asked)] = asked
        counts.append(len(above) if human else _combinations(product))
    ends = np.array(list(accumulate(counts)), dtype=np.int64)
    order = array("q", range(int(ends[-1]) if counts else 0))
    random.Random(SEED).shuffle(order)
    return Numbering(ends, ceilings, np.array(order, dtype=np.int64))


def _above(price: float) -> list[float]:
    """The ceilings a goal may name. Where fewer than two are left it names none, as often as there would be some."""
    found = [ceiling for ceiling in _CEILINGS if ceiling > price][:_CEILINGS_CONSIDERED]
    return found if len(found) >= 2 else [ANY_PRICE] * _CEILINGS_CONSIDERED


def _drawn(ceilings: list[float], draw: random.Random) -> list[float]:
    """The higher of two ceilings drawn at random."""
    return [max(draw.sample(ceilings, 2)) if ceilings[0] < ANY_PRICE else ANY_PRICE]


def _combinations(product: Product) -> int:
    return prod(map(len, product.options.values()))


def _combination(product: Product, number: int) -> tuple[tuple[str, str], ...]:
    """Combination `number` of a product's options, by name; the last option varies fastest."""
    chosen = []
    for name in sorted(product.options, reverse=True):
        number, index = divmod(number, len(product.options[name]))
        chosen.append((name, product.options[name][index]))
    return tuple(reversed(chosen))


def _goal(
    product: Product,
    instruction: Instruction,
    text: str,
    options: tuple[str, ...] | tuple[tuple[str, str], ...],
    ceiling: float,
) -> Goal:
    if ceiling < ANY_PRICE:
        text += f", and price lower than {ceiling:.2f} dollars"
    wish = Wish(kind_of(product), instruction.attributes, options, ceiling)
    return Goal(product.asin, text, wish)


def kind_of(product: Product) -> Kind:
    """What decides a product's type."""
    return Kind(product.name, product.query, product.product_category)
