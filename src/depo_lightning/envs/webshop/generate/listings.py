"""Products: families of siblings that look alike and differ in what instructions ask for.

A family is one brand's line of one kind. Its four siblings share two attributes, and part in three others, in the
options on offer and in price. A title names one or two of a product's five attributes, often together with the first
feature; the others stand further down among the features, which no keyword search reads and a buyer has to open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from depo_lightning.envs.webshop.generate.words import BRANDS, Kind, kinds

SIBLINGS = 4
_SHARED, _OWN = 2, 3  # attributes
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_IDS = 36**8
_STRIDE = 1_190_494_759_571  # prime to the number of ids, so that no two products share one
_RANGES = 0.06  # share of products whose price is a range
_CROWDED = 0.2  # share of titles that name the thing twice, as sellers do
_FEATURES = (
    "{Attribute}: made with {attribute} in mind, so that it serves you for years",
    "With {attribute} - a detail our customers ask for again and again",
    "{Attribute} design, tested in our own workshop",
    "What you get: {attribute}, fair service and a product that looks as pictured",
)
_GENERAL = (
    "A thoughtful gift for family and friends",
    "Please check the options before you order",
    "If anything is wrong, write to us and we answer within a day",
)
_ABOUT = (
    "The {brand} {say} belongs to our {word} line. Our team has worked on it for a long time.",
    "Meet the {brand} {say}, one of the {word} favourites of our shop.",
    "{brand} stands for care in small things. This {say} of the {word} series is no exception.",
)


@dataclass(frozen=True, slots=True)
class Listing:
    """One product.

    Attributes:
        kind: what it is.
        asin: its id.
        attributes: what it is annotated with; the shared ones of its family come first.
        options: name to the values on offer.
        item: its entry in the products file (`items_shuffle.json`).
    """

    kind: Kind
    asin: str
    attributes: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    item: dict[str, Any]


def listings(count: int = 1000, seed: int = 0) -> Iterator[Listing]:
    """The first `count` products of shop `seed`; the same arguments give the same products, on any machine."""
    for start in range(0, count, SIBLINGS):
        yield from _family(start, min(SIBLINGS, count - start), seed)


def _family(start: int, size: int, seed: int) -> Iterator[Listing]:
    rng = Random(f"{seed}/{start}")
    kind = kinds()[(start // SIBLINGS) % len(kinds())]
    brand = rng.choice(BRANDS)
    words = rng.sample(kind.words, 2)
    mixed = rng.sample(kind.attributes, len(kind.attributes))
    shared, others = mixed[:_SHARED], mixed[_SHARED:]
    base = kind.price[0] * (kind.price[1] / kind.price[0]) ** rng.random()
    for place in range(size):
        attributes = (*shared, *rng.sample(others, _OWN))
        options = {name: _offered(values, rng) for name, values in kind.options.items()}
        asin = _asin(start + place, seed)
        item = {
            "asin": asin,
            "name": _title(kind, brand, words, attributes, rng),
            "category": kind.category,
            "query": kind.query,
            "product_category": kind.path,
            "pricing": _pricing(base * rng.uniform(0.7, 1.4), rng),
            "small_description": _features(attributes, rng),
            "full_description": rng.choice(_ABOUT).format(brand=brand, say=kind.say, word=words[0].lower()),
            "customization_options": {
                name.capitalize(): [{"value": value, "image": None} for value in values]
                for name, values in options.items()
            },
            "images": [""],
        }
        yield Listing(kind, asin, attributes, options, item)


def _asin(number: int, seed: int) -> str:
    """Ten characters as Amazon's: B0 and eight of 0-9A-Z; products of one shop never share one."""
    value = (number * _STRIDE + (seed + 1) * 7_368_787) % _IDS
    digits = []
    for _ in range(8):
        value, digit = divmod(value, 36)
        digits.append(_DIGITS[digit])
    return "B0" + "".join(digits)


def _offered(values: Sequence[str], rng: Random) -> tuple[str, ...]:
    """From two values to all but one, in their order; a pair is offered whole."""
    chosen = set(rng.sample(values, rng.randint(2, max(2, len(values) - 1))))
    return tuple(value for value in values if value in chosen)


def _title(kind: Kind, brand: str, words: Sequence[str], attributes: Sequence[str], rng: Random) -> str:
    named = [name.title() for name in rng.sample(attributes, rng.choice((1, 2)))]
    parts = [brand, rng.choice(words), named[0], kind.say.title()]
    if len(named) > 1:
        parts.append(f"with {named[1]}")
    if rng.random() < _CROWDED:
        parts.append(f"- {rng.choice(kind.also).title()}")
    return " ".join(parts)


def _features(attributes: Sequence[str], rng: Random) -> list[str]:
    """A line per attribute and a general one, in random order: only the first is indexed by the search engine."""
    patterns = [rng.choice(_FEATURES) for _ in attributes]
    lines = [
        pattern.format(attribute=name, Attribute=name.capitalize())
        for pattern, name in zip(patterns, rng.sample(attributes, len(attributes)), strict=True)
    ]
    lines.insert(rng.randint(0, len(lines)), rng.choice(_GENERAL))
    return lines


def _pricing(dollars: float, rng: Random) -> str:
    price = int(dollars) + rng.choice((0.99, 0.95, 0.49, 0.0))
    if rng.random() < _RANGES:
        return f"${price:.2f} - ${price * rng.uniform(1.2, 1.6):.2f}"
    return f"${price:.2f}"
