"""The words of the scripted shopper's thoughts: the same move, said tersely or at length."""

from __future__ import annotations

from random import Random

from depo_lightning.agents.webshop_policy import Move, Why
from depo_lightning.agents.webshop_text import Page, Situation

_OPENINGS = (
    "The buyer asks for {thing}.",
    "My task is to find {thing}.",
    "I have to buy {thing} for the buyer.",
)
_CLOSINGS = (
    "So my next step is clear.",
    "That seems to be the best thing to do on this page.",
    "Therefore this is what I do now.",
)
_TERSE: dict[Why, tuple[str, ...]] = {
    Why.SEARCH: ("I search for {about}.", "I look for {about}."),
    Why.OPEN: ("{about}, I look at it.", "{about}, it may fit."),
    Why.MORE: ("I look at more results.", "The next page may have better ones."),
    Why.CHECK: ("I check {about}.", "I want to be sure about {about}."),
    Why.RETURN: ("I have read it and go back.", "I know enough, back to the product."),
    Why.REJECT: ("It does not offer {about}, I go back.", "It lacks {about}, back to the results."),
    Why.OPTION: ("I choose {about}.", "The buyer wants {about}."),
    Why.BUY: ("It fits, I buy it.", "All is chosen, I buy it."),
    Why.ASIDE: ("I {about}.", "I would rather {about}."),
}
_SCENES = {
    Page.INDEX: "I am on the start page and nothing has been searched yet.",
    Page.RESULTS: "I see a page of results with titles and prices.",
    Page.ITEM: "I am on the page of one product and see its options and its price.",
    Page.DETAIL: "I am reading what the shop says about this product.",
    Page.OTHER: "I am not sure which page this is.",
}


def thought_for(situation: Situation, move: Move, verbose: bool, rng: Random) -> str:
    """A thought that leads to `move`."""
    terse = rng.choice(_TERSE[move.why]).format(about=" ".join(move.about.split()[:5]))
    if not verbose:
        return terse
    opening = rng.choice(_OPENINGS).format(thing=situation.wishes.thing)
    return " ".join((opening, _SCENES[situation.page], terse, rng.choice(_CLOSINGS)))
