"""What a purchase is worth: WebShop's reward (Yao et al. 2022, arXiv 2207.01206), as its public code computes it.

    reward = type · (attributes met + options met + [price ≤ ceiling]) / (attributes + options + 1)

type = 1; 0.5 where neither the query, nor two levels of the category path, nor more than a fifth of the goal's title
nouns agree; 0.1 where fewer than a tenth of them do; 0 where none does. A goal title without nouns counts as 0.2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from depo_lightning.envs.webshop.colours import first_colour
from depo_lightning.envs.webshop.nouns import DEFAULT_TAGGER, tagger

Nouns = Callable[[str], Sequence[str]]  # a title → its nouns, lower-case, repetitions kept
_SIMILAR = 85  # percent; more than this is a match
_DROPPED = dict.fromkeys(range(128, 256))  # the characters that thefuzz takes out before it compares


@dataclass(frozen=True, slots=True)
class Kind:
    """What decides whether two products are of one type."""

    name: str
    query: str
    product_category: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What the reward reads of a purchased product."""

    kind: Kind
    title: str
    bullets: Sequence[str]
    description: str
    attributes: Collection[str]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the reward reads of a goal; options are (name, value) pairs, or free texts in human instructions."""

    kind: Kind
    attributes: Collection[str]
    options: Collection[str | tuple[str, str]]
    ceiling: float


def purchase_reward(
    product: Mapping[str, Any],
    goal: Mapping[str, Any],
    price: float,
    options: Mapping[str, str],
    nouns: Nouns | None = None,
) -> float:
    """Reward of buying `product` for `goal`.

    Args:
        product: as the reference keeps it: `name`, `query`, `product_category`, `Title`, `BulletPoints`,
            `Description`, `Attributes`; the names of the data files (`small_description`, `full_description`,
            `attributes`) serve as well.
        goal: `name`, `query`, `product_category`, `attributes` (one at least), `goal_options` (name → value, or a
            list of texts) and `price_upper`.
        price: what the product costs, dollars.
        options: the options chosen, name → value.
        nouns: title → its lower-cased nouns; None is the built-in tagger.

    Returns:
        The reward, in [0, 1].

    Raises:
        ConfigError: `nouns` is None and the tagger is not installed.
    """
    bullets = product["BulletPoints"] if "BulletPoints" in product else product["small_description"]
    offer = Offer(
        kind=_kind(product),
        title=product.get("Title", product["name"]),
        bullets=[bullets] if isinstance(bullets, str) else bullets,
        description=product["Description"] if "Description" in product else product["full_description"],
        attributes=product["Attributes"] if "Attributes" in product else product["attributes"],
    )
    wished = goal["goal_options"]
    wish = Wish(
        kind=_kind(goal),
        attributes=goal["attributes"],
        options=list(wished.items()) if isinstance(wished, Mapping) else wished,
        ceiling=goal["price_upper"],
    )
    return worth(offer, wish, price, options.values(), nouns or tagger(DEFAULT_TAGGER))


def worth(offer: Offer, wish: Wish, price: float, chosen: Iterable[str], nouns: Nouns) -> float:
    """The reward, in the order of operations of the reference: equal to its last bit."""
    met = attributes_met(offer, wish.attributes) + options_met(chosen, wish.options) + (price <= wish.ceiling)
    return met / (len(wish.attributes) + len(wish.options) + 1) * type_factor(offer.kind, wish.kind, nouns)


def type_factor(bought: Kind, wanted: Kind, nouns: Nouns) -> float:
    """1, 0.5, 0.1 or 0: how far the two products are of one type."""
    sought = nouns(wanted.name)
    overlap = len(set(nouns(bought.name)) & set(sought)) / len(sought) if sought else 0.2
    if overlap == 0:
        return 0.0
    if overlap < 0.1:
        return 0.1
    shared = _levels(bought.product_category) & _levels(wanted.product_category)
    return 1.0 if bought.query == wanted.query or len(shared) >= 2 or overlap > 0.2 else 0.5


def attributes_met(offer: Offer, wished: Iterable[str]) -> int:
    """How many attributes resemble one of the product's, or else stand literally in its texts."""
    texts = (offer.title.lower(), " ".join(offer.bullets).lower(), offer.description.lower())
    return sum(
        any(_alike(own, wish) for own in offer.attributes) or any(wish in text for text in texts) for wish in wished
    )


def options_met(chosen: Iterable[str], wished: Iterable[str | tuple[str, str]]) -> int:
    """How many wished options resemble a chosen one, after each is reduced to the first colour it holds.

    A (name, value) pair reduces only where name or value is exactly a colour, and is else compared as a whole: that is
    how the reference treats the pairs of its synthetic goals.
    """
    values = [first_colour(value) for value in chosen]
    return sum(any(_alike(value, wish) for value in values) for wish in map(first_colour, wished))


def _kind(record: Mapping[str, Any]) -> Kind:
    return Kind(record["name"], record["query"], record["product_category"])


@lru_cache(maxsize=1 << 16)
def _levels(path: str) -> frozenset[str]:
    return frozenset(level.strip() for level in path.split("›"))


@lru_cache(maxsize=1 << 16)
def _alike(one: object, other: object) -> bool:
    """thefuzz's `token_set_ratio` above the threshold, computed by the library it has since become."""
    from rapidfuzz.fuzz import token_set_ratio

    return round(token_set_ratio(_plain(one), _plain(other))) > _SIMILAR


@lru_cache(maxsize=1 << 16)
def _plain(thing: object) -> str:
    """Letters and digits in lower case; a pair is written as Python prints it."""
    from rapidfuzz.utils import default_process

    return default_process(str(thing).translate(_DROPPED))
