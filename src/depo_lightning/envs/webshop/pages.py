"""What the pages say and what can be clicked on them: strings, with no markup on the way.

The reference renders HTML and takes the visible text nodes out again. What that does to texts is kept: a text of
blanks alone is shown as an empty one, unless it holds a line end, in which case it is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from depo_lightning.envs.webshop.catalogue import Catalogue, Product
from depo_lightning.envs.webshop.state import BACK, BUY, NEXT, PREVIOUS, SEARCH, Detail, Place, State

SEPARATOR = " [SEP] "
_ASCII_BLANKS = " \n\t\f\r"
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "'": "\\u0027"}  # in JSON that is written into a page
_LABELS = {BACK: "Back to Search", PREVIOUS: "< Prev", NEXT: "Next >", BUY: "Buy Now"}
_BUTTONS = (Detail.description, Detail.features, Detail.reviews)


def clickables(state: State, catalogue: Catalogue, with_attributes: bool) -> dict[str, str | None]:
    """Labels that can be clicked, in the reference's order, each with the option's name where it is an option.

    Of two options with the same value the later one answers the click; an option named like a button is shadowed.
    """
    if state.place is Place.start:
        return {SEARCH: None}
    if state.place is Place.results:
        buttons = (BACK, PREVIOUS, NEXT) if state.number > 1 else (BACK, NEXT)
        return dict.fromkeys((*buttons, *(asin.lower() for asin in state.shown)))
    if state.place is Place.detail:
        return {BACK: None, PREVIOUS: None}
    if state.place is Place.done:
        return {}
    details = (*_BUTTONS, Detail.attributes) if with_attributes else _BUTTONS
    labels: dict[str, str | None] = dict.fromkeys((BACK, PREVIOUS, *map(str, details), BUY))
    for name, values in catalogue[state.asin].options.items():
        labels.update(dict.fromkeys(values, name))
    return labels


def text(state: State, catalogue: Catalogue, instruction: str, with_attributes: bool, reward: float) -> str:
    """The observation: the page's visible texts, joined.

    Args:
        state: the page.
        catalogue: where products are looked up.
        instruction: what the buyer wants.
        with_attributes: items have a button for their attributes.
        reward: shown where the purchase is done.
    """
    if state.place is Place.start:
        return SEPARATOR.join(("WebShop", "Instruction:", *_visible(instruction), "Search"))
    if state.place is Place.done:
        return SEPARATOR.join(_receipt(state, reward))
    parts = ["Instruction:", *_visible(instruction), _LABELS[BACK]]
    if state.place is Place.results:
        parts += _results(state, catalogue)
    elif state.place is Place.item:
        parts += _item(catalogue[state.asin], with_attributes)
    else:
        parts += _detail(catalogue[state.asin], state.detail)
    return SEPARATOR.join(parts)


def _results(state: State, catalogue: Catalogue) -> Iterator[str]:
    yield f"Page {state.number} (Total results: {len(state.hits)})"
    if state.number > 1:
        yield _LABELS[PREVIOUS]
    yield _LABELS[NEXT]
    for asin in state.shown:
        product = catalogue[asin]
        yield asin
        yield from _visible(product.name)
        yield product.price_tag


def _item(product: Product, with_attributes: bool) -> Iterator[str]:
    yield _LABELS[PREVIOUS]
    for name, values in product.options.items():
        yield from _visible(name)
        yield from _visible_all(values)
    yield from _visible(product.name)
    yield f"Price: {product.price_tag}"
    yield "Rating: N.A."  # the reference reads no reviews, and so has no ratings
    yield from (detail.capitalize() for detail in _BUTTONS)
    if with_attributes:
        yield Detail.attributes.capitalize()
    yield _LABELS[BUY]


def _detail(product: Product, detail: Detail | None) -> Iterator[str]:
    yield _LABELS[PREVIOUS]
    if detail is Detail.description:
        yield from _visible(product.description)
    elif detail is Detail.features:
        yield from _visible_all(f" {bullet}" for bullet in product.bullets)
    elif detail is Detail.attributes:
        yield from _visible_all(f" {attribute}" for attribute in product.attributes)
        yield from _visible_all((product.category, product.query, product.product_category))


def _receipt(state: State, reward: float) -> Iterator[str]:
    """The last page. The reference hands it neither the goal nor a code: their places are empty or say None."""
    options = json.dumps(dict(state.options), sort_keys=True)
    yield from ("Thank you for shopping with us!", "Your code:", "None", "(Paste it in your MTurk interface.)")
    yield from ("Purchased", "asin", state.asin)
    yield from ("options", "".join(_UNSAFE.get(character, character) for character in options))
    yield from ("attrs", "None", "category", "None", "query", "None", "product category", "None")
    yield from ("Target", "asin", "options", "attrs", "price upper", "instuction text", "category")
    yield from ("product category", "query", "Goal", "None", "Reward")
    yield from ("Your score (min 0.0, max 1.0)", str(reward), "Reward Details", "None")


def _visible_all(texts: Iterable[str]) -> Iterator[str]:
    for one in texts:
        yield from _visible(one)


def _visible(words: str) -> tuple[str, ...]:
    """What is seen of a text: nothing of an empty one."""
    if not words or ("\n" in words and not words.strip(_ASCII_BLANKS)):
        return ()
    return (words.strip(),)
