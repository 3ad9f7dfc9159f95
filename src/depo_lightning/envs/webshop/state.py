"""Where an episode stands, and where an action leads: plain values, no texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

SEARCH = "search"
BACK, PREVIOUS, NEXT, BUY = "back to search", "< prev", "next >", "buy now"
PER_PAGE = 10
_ACTION = re.compile(r"(.+)\[(.+)\]")  # the reference's expression; what follows the last bracket is ignored


class Place(StrEnum):
    """The pages. The values are those of the reference's addresses, which decide where `< Prev` leads."""

    start = "index"
    results = "search_results"
    item = "item_page"
    detail = "item_sub_page"
    done = "done"


class Detail(StrEnum):
    """The pages behind an item's buttons."""

    description = "description"
    features = "features"
    reviews = "reviews"
    attributes = "attributes"


@dataclass(frozen=True, slots=True)
class State:
    """One moment of an episode.

    Attributes:
        place: the page that is shown.
        keywords: the last search, as typed, lower-case.
        hits: ids it found, best first.
        number: the results page shown last, from 1; an address that holds "search_results" can take it to 0 or below.
        asin: the product whose page was opened last; empty on the index and results pages.
        options: chosen options, name → value.
        detail: which page of the product is shown; None elsewhere.
    """

    place: Place = Place.start
    keywords: str = ""
    hits: tuple[str, ...] = ()
    number: int = 1
    asin: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    detail: Detail | None = None

    @property
    def shown(self) -> tuple[str, ...]:
        """Ids on the results page."""
        return self.hits[(self.number - 1) * PER_PAGE : self.number * PER_PAGE]


def parse(action: str) -> tuple[str, str] | None:
    """Verb and argument of `verb[argument]`, the argument in lower case; None for anything else."""
    found = _ACTION.match(action)
    return (found[1], found[2].lower()) if found else None


def results(keywords: str, hits: tuple[str, ...], number: int = 1) -> State:
    """A results page; options and product are forgotten."""
    return State(Place.results, keywords, hits, number)


def follow(state: State, label: str, option: str | None) -> State:
    """The state after a click on `label`.

    Args:
        state: where the click happens.
        label: a clickable of that page, lower-case.
        option: the option's name where `label` is the value of one; None for buttons and product links.
    """
    if label == BUY:
        return replace(state, place=Place.done)
    if label == BACK:
        return State()
    if label in (NEXT, PREVIOUS):
        origin = _origin(state)
        if origin is Place.results:
            return results(state.keywords, state.hits, state.number + (1 if label == NEXT else -1))
        if origin is Place.item and label == PREVIOUS:
            return results(state.keywords, state.hits, state.number)
    elif label in list(Detail):
        return replace(state, place=Place.detail, detail=Detail(label))
    if state.place is Place.results:
        return replace(state, place=Place.item, asin=label.upper())
    chosen = state.options if option is None else {**state.options, option: label}
    return replace(state, place=Place.item, options=chosen, detail=None)


def _origin(state: State) -> Place | None:
    """The page the reference believes to be on: it looks for the pages' names anywhere in the address.

    The address holds keywords and options too, so a search for "item_page" misleads it.
    """
    address = f"{state.place}/{state.keywords.replace(' ', '+')}/{state.options}"
    return next((place for place in list(Place)[1:] if place in address), None)
