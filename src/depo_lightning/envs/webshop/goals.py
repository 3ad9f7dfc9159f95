"""Goals: what a buyer asks for, numbered as the reference numbers them.

A product's instruction becomes several goals: a synthetic one for every combination of the product's options, a human
one for every price ceiling. Goals stand in the order of the data file and are then shuffled with a fixed seed.
"""

from __future__ import annotations

import random
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

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


class Goals(Sequence[Goal]):
    """All goals of a catalogue, shuffled; a goal is put together when it is asked for.

    Args:
        catalogue: where the products are looked up.
        instructions: in the order of the catalogue.
        kind: which instructions these are.
    """

    def __init__(self, catalogue: Catalogue, instructions: Iterable[Instruction], kind: Instructions) -> None:
        self._catalogue = catalogue
        self._instructions = list(instructions)
        human = kind is Instructions.human
        draw = random.Random(SEED)
        self._ceilings: list[list[float]] = []
        counts = []
        for instruction in self._instructions:
            product = catalogue[instruction.asin]
            ceilings = _above(product.price)
            self._ceilings.append(ceilings if human else _drawn(ceilings, draw))
            counts.append(len(ceilings) if human else _combinations(product))
        self._ends = list(accumulate(counts))
        self._order = array("q", range(self._ends[-1] if self._ends else 0))
        random.Random(SEED).shuffle(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Goal:  # type: ignore[override]
        number = self._order[index]
        place = bisect_right(self._ends, number)
        variant = number - (self._ends[place - 1] if place else 0)
        instruction = self._instructions[place]
        product, ceilings = self._catalogue[instruction.asin], self._ceilings[place]
        if instruction.options is None:
            options = _combination(product, variant)
            told = ", and ".join(f"{name}: {value}" for name, value in options)
            text = instruction.text + (f" with {told}" if told else "")
            return _goal(product, instruction, text, options, ceilings[0])
        return _goal(product, instruction, instruction.text.strip("."), instruction.options, ceilings[variant])


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
