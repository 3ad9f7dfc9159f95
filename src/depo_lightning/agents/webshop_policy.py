"""A hand-written way of shopping from the pages' text: search, compare titles and prices, check, choose, buy.

A product's worth to the buyer is estimated as the share of the wished words that its pages have shown so far.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from depo_lightning.agents.webshop_text import Offer, Page, Situation, keywords, stems

BACK, PREVIOUS, NEXT, BUY = "back to search", "< prev", "next >", "buy now"
FEATURES, DESCRIPTION = "features", "description"
_GOOD = 0.8  # share of the wished words that make a product worth buying
_LOOKS = 2  # products looked at before the best of them is bought
_PAGES = 2  # results pages gone through
_MISSING = 0.3  # what a wished option that is not offered takes from a product's worth


class Why(StrEnum):
    """What a move is for; decides the words of the thought."""

    SEARCH = "search"
    OPEN = "open"
    MORE = "more"
    CHECK = "check"
    RETURN = "return"
    REJECT = "reject"
    OPTION = "option"
    BUY = "buy"
    ASIDE = "aside"


@dataclass(frozen=True, slots=True)
class Move:
    """An action, what it is for, and the words it concerns."""

    action: str
    why: Why
    about: str = ""


def best_move(situation: Situation) -> Move:
    """What the policy does next."""
    if situation.page is Page.RESULTS:
        return _choose_product(situation)
    if situation.page is Page.ITEM:
        return _on_item(situation)
    if situation.page is Page.DETAIL:
        return Move(f"click[{PREVIOUS}]", Why.RETURN)
    return Move(f"search[{keywords(situation.wishes.thing)}]", Why.SEARCH, keywords(situation.wishes.thing))


def wasteful_moves(situation: Situation, best: Move) -> list[Move]:
    """Moves that are possible and harmless but bring the purchase no nearer, other than the best one."""
    moves = []
    if situation.page is Page.RESULTS:
        moves.append(Move(f"click[{NEXT}]", Why.MORE))
        moves += [_open(offer) for offer in situation.offers[:3] if offer.price <= situation.wishes.ceiling]
        moves.append(Move(f"click[{BACK}]", Why.ASIDE, "search again"))
    elif situation.page is Page.ITEM:
        moves += [Move(f"click[{label}]", Why.CHECK, label) for label in (FEATURES, DESCRIPTION)]
        moves.append(Move(f"click[{PREVIOUS}]", Why.ASIDE, "compare others"))
    elif situation.page is Page.INDEX:
        words = keywords(situation.wishes.thing).split()
        for shorter in (" ".join(words[:3]), " ".join(words[-2:])):
            moves.append(Move(f"search[{shorter}]", Why.SEARCH, shorter))
    return [move for move in moves if move.action != best.action]


def possible_moves(situation: Situation) -> list[Move]:
    """What the page offers, wise or not: what an unsure shopper clicks on."""
    labels: list[str] = []
    if situation.page is Page.RESULTS:
        labels = [*(offer.asin for offer in situation.offers), NEXT, BACK]
    elif situation.page is Page.ITEM:
        labels = [value for values in situation.offered.get(situation.asin, {}).values() for value in values]
        labels += [BUY, BUY, PREVIOUS, BACK, DESCRIPTION]  # haste is the commonest mistake
    elif situation.page is Page.DETAIL:
        labels = [PREVIOUS, BACK]
    if not labels:
        words = keywords(situation.wishes.thing).split()
        return [Move(f"search[{word}]", Why.ASIDE, f"try {word}") for word in words] or [best_move(situation)]
    return [Move(f"click[{label}]", Why.ASIDE, f"try {label}") for label in labels]


def missing_words(situation: Situation, asin: str) -> list[str]:
    """Wished words, in the instruction's order, that nothing read of a product has shown."""
    shown = stems(situation.read.get(asin) or situation.titles.get(asin, ""))
    return [word for word in keywords(situation.wishes.thing).split() if stems(word) and not stems(word) & shown]


def wished_value(situation: Situation, values: Sequence[str]) -> str | None:
    """The value of an option that the instruction names; the longest, where several do."""
    text = situation.wishes.text
    named = [v for v in values if re.search(rf"(?<![\w-]){re.escape(v)}(?![\w-])", text)]
    return max(named, key=len) if named else None


def _choose_product(situation: Situation) -> Move:
    """Open the best product not yet looked at; once enough were looked at, the best of those."""
    affordable = [offer for offer in situation.offers if offer.price <= situation.wishes.ceiling]
    fresh = [offer for offer in affordable if offer.asin not in situation.opened]
    known = [offer for offer in affordable if offer.asin in situation.opened]
    if known and (len(situation.opened) >= _LOOKS or not fresh):
        return _open(max(known, key=lambda offer: _worth(situation, offer.asin)))
    if fresh:
        return _open(max(fresh, key=lambda offer: _share(situation, offer.asin)))
    if situation.number < _PAGES or not situation.offers:
        return Move(f"click[{NEXT}]", Why.MORE) if situation.offers else _search_less(situation)
    return _open(min(situation.offers, key=lambda offer: offer.price))


def _search_less(situation: Situation) -> Move:
    words = keywords(situation.wishes.thing).split()
    shorter = " ".join(words[-2:])
    return Move(f"search[{shorter}]", Why.SEARCH, shorter)


def _on_item(situation: Situation) -> Move:
    asin = situation.asin
    lacks = missing_words(situation, asin)
    last_look = len(situation.opened) >= _LOOKS
    unoffered = _unoffered(situation, asin)
    if lacks and asin not in situation.features_read and not unoffered and not last_look:
        return Move(f"click[{FEATURES}]", Why.CHECK, " ".join(lacks))
    if not last_look and (unoffered or _share(situation, asin) < _GOOD):
        return Move(f"click[{PREVIOUS}]", Why.REJECT, " ".join(unoffered or lacks))
    for values in situation.offered.get(asin, {}).values():
        value = wished_value(situation, values)
        if value and value not in situation.chosen:
            return Move(f"click[{value}]", Why.OPTION, value)
    return Move(f"click[{BUY}]", Why.BUY)


def _unoffered(situation: Situation, asin: str) -> list[str]:
    """Options of a product whose wished value it does not offer.

    That a value is wished is known where the instruction names the option, or a value that another product offered.
    """
    lacking = []
    for name, values in situation.offered.get(asin, {}).items():
        seen = [value for options in situation.offered.values() for value in options.get(name, ())]
        asked = name in situation.wishes.text or wished_value(situation, seen)
        if asked and wished_value(situation, values) is None:
            lacking.append(name)
    return lacking


def _worth(situation: Situation, asin: str) -> float:
    return _share(situation, asin) - _MISSING * len(_unoffered(situation, asin))


def _share(situation: Situation, asin: str) -> float:
    """Share of the wished words that a product's title and the pages read of it show."""
    wished = [word for word in keywords(situation.wishes.thing).split() if stems(word)]
    return 1 - len(missing_words(situation, asin)) / max(len(wished), 1)


def _open(offer: Offer) -> Move:
    return Move(f"click[{offer.asin}]", Why.OPEN, f"{offer.asin} costs ${offer.price}")
