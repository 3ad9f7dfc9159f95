"""What the text of a WebShop conversation says: the wishes, the page, the products seen, what was done.

Everything here is read from the words an agent meets, never from the shop, so whatever is built on it knows no more
than a language model would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from depo_lightning.agents.react import parse_turn
from depo_lightning.envs.webshop.analyzer import Analyzer

_SEPARATOR = " [SEP] "
_ASIN = re.compile(r"B[0-9A-Z]{9}")
_DOLLARS = re.compile(r"\$(\d+(?:\.\d+)?)")
_CEILING = re.compile(r",? and price lower than (\d+(?:\.\d+)?) dollars")
_PAGE = re.compile(r"Page (-?\d+) \(Total results: (\d+)\)")
_OPTION_NAME = re.compile(
    r"(?:color|colour|size|style|flavor|scent|pattern|material|shape|fit|width|length|capacity|configuration|edition"
    r"|unit count|number of items|item [a-z ]+)(?: name| type)?"
)
_OPENING = re.compile(
    r"^(?:i am looking for|i need|find me|i want to buy|i want|please get me|i would like|can you find|looking for)\s+"
)
_OPTIONS_BEGIN = re.compile(r", (?:in |size |the |\S+ (?:flavor|scent|style))| with (?:color|size|style|flavor|scent):")
_LEAD = re.compile(r"^(?:(?:a|an|some) )?(?:(?:pair|bottle|jar|box|bag|pack|set) of |(?:a|an|some) )?")
_EMPTY = frozenset(("that", "is", "are", "with", "for", "made", "of", "the", "a", "an", "and", "my", "its", "to", "in"))
_analyzer = Analyzer()


class Page(StrEnum):
    """The pages of the shop."""

    INDEX = "index"
    RESULTS = "results"
    ITEM = "item"
    DETAIL = "detail"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Offer:
    """A line of a results page."""

    asin: str
    title: str
    price: float  # the lower end of a range


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the instruction asks for.

    Attributes:
        text: its words without opening and price.
        thing: the clause that names product and attributes; options come after it.
        ceiling: dollars; infinite if none is named.
    """

    text: str
    thing: str
    ceiling: float


@dataclass(frozen=True, slots=True)
class Situation:
    """The conversation so far, read.

    Attributes:
        wishes: what to buy.
        page: the kind of page that is shown.
        number: of the results page.
        offers: the products on the results page shown last.
        asin: the product whose pages were opened last, empty outside of them.
        titles: of every product seen, by id.
        offered: the options of every product opened, by id: name to values.
        read: what its pages have said, by id, its title included.
        opened: ids of the products looked at, oldest first.
        features_read: ids of those whose features were read.
        chosen: options clicked for the product shown.
        past: the agent's actions, oldest first.
        last_thought: the agent's latest thought, empty before the first turn.
    """

    wishes: Wishes
    page: Page = Page.OTHER
    number: int = 1
    offers: tuple[Offer, ...] = ()
    asin: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)
    offered: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    read: Mapping[str, str] = field(default_factory=dict)
    opened: tuple[str, ...] = ()
    features_read: frozenset[str] = frozenset()
    chosen: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    last_thought: str = ""


def read_situation(messages: Sequence[Mapping[str, str]]) -> Situation:
    """Read a chat that ends with an observation."""
    reader = _Reader()
    for message in messages:
        if message["role"] == "assistant":
            reader.turn(message["content"])
        elif message["role"] == "user":
            reader.observation(message["content"])
    return reader.situation()


@lru_cache(maxsize=4096)
def read_wishes(instruction: str) -> Wishes:
    """The parts of an instruction."""
    ceiling = _CEILING.search(instruction)
    text = _OPENING.sub("", _CEILING.sub("", instruction).strip().lower())
    thing = _OPTIONS_BEGIN.split(text)[0]
    return Wishes(text, thing, float(ceiling[1]) if ceiling else float("inf"))


@lru_cache(maxsize=4096)
def keywords(thing: str) -> str:
    """What to type into the search bar: the clause without the words that carry nothing."""
    words = _LEAD.sub("", thing).replace(",", "").split()
    return " ".join(word for word in words if word not in _EMPTY)


@lru_cache(maxsize=65536)
def stems(text: str) -> frozenset[str]:
    """The distinct terms of a text, without those that carry nothing."""
    return frozenset(_analyzer.terms(text)) - _EMPTY


class _Reader:
    """Goes through a conversation and remembers."""

    def __init__(self) -> None:
        self.instruction = ""
        self.page, self.number, self.asin = Page.OTHER, 1, ""
        self.offers: tuple[Offer, ...] = ()
        self.titles: dict[str, str] = {}
        self.offered: dict[str, dict[str, tuple[str, ...]]] = {}
        self.read: dict[str, str] = {}
        self.features: set[str] = set()
        self.opened: list[str] = []
        self.chosen: list[str] = []
        self.past: list[str] = []
        self.thought = ""

    def turn(self, text: str) -> None:
        turn = parse_turn(text, last_action=True)
        self.thought = turn.thought
        self.past.append(turn.action)

    def observation(self, text: str) -> None:
        parts = text.split(_SEPARATOR)
        if len(parts) > 2 and parts[0] in ("WebShop", "Instruction:"):
            self.instruction = parts[2 if parts[0] == "WebShop" else 1]
        self.page = _kind(parts)
        label = self.past[-1].removeprefix("click[").removesuffix("]") if self.past else ""
        if self.page is Page.INDEX:
            self.asin = ""
        elif self.page is Page.RESULTS:
            self.asin = ""
            self._results(parts)
        elif self.page is Page.ITEM:
            self._item(parts, label)
        elif self.page is Page.DETAIL and self.asin:
            self.read[self.asin] = self.read.get(self.asin, "") + " " + " ".join(parts[4:])
            if label.lower() == "features":
                self.features.add(self.asin)

    def _results(self, parts: Sequence[str]) -> None:
        found = _PAGE.search(parts[3])
        self.number = int(found[1]) if found else 1
        offers = []
        for place, part in enumerate(parts[:-1]):
            price = _DOLLARS.search(parts[place + 2]) if place + 2 < len(parts) else None
            if _ASIN.fullmatch(part) and price:
                offers.append(Offer(part, parts[place + 1], float(price[1])))
        self.offers = tuple(offers)
        self.titles |= {offer.asin: offer.title for offer in offers}

    def _item(self, parts: Sequence[str], label: str) -> None:
        if label.upper() in self.titles:
            self.asin = label.upper()
            self.chosen = []
            if self.asin not in self.opened:
                self.opened.append(self.asin)
        price = next((place for place, part in enumerate(parts) if part.startswith("Price: $")), len(parts))
        title, body = parts[price - 1], parts[4 : price - 1]
        options = self.offered[self.asin] = _options(body)
        self.read[self.asin] = self.read.get(self.asin) or title
        if any(label in values for values in options.values()):
            self.chosen.append(label)

    def situation(self) -> Situation:
        return Situation(
            wishes=read_wishes(self.instruction),
            page=self.page,
            number=self.number,
            offers=self.offers,
            asin=self.asin,
            titles=self.titles,
            offered=self.offered,
            read=self.read,
            opened=tuple(self.opened),
            features_read=frozenset(self.features),
            chosen=tuple(self.chosen),
            past=tuple(self.past),
            last_thought=self.thought,
        )


def _kind(parts: Sequence[str]) -> Page:
    if parts[0] == "WebShop":
        return Page.INDEX
    if len(parts) > 3 and parts[2] == "Back to Search":
        if _PAGE.match(parts[3]):
            return Page.RESULTS
        return Page.ITEM if parts[-1] == "Buy Now" else Page.DETAIL
    return Page.OTHER


def _options(parts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Option names and their values, which stand in one row: a part that is a name begins the next option."""
    options: dict[str, tuple[str, ...]] = {}
    name = ""
    for part in parts:
        if _OPTION_NAME.fullmatch(part):
            name = part
            options[name] = ()
        elif name:
            options[name] += (part,)
    return options
