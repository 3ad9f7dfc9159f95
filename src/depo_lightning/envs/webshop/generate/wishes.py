"""What customers of the generated shop ask for, and the shop as the three files that WebShop's loader reads."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from depo_lightning.envs.webshop.generate.listings import Listing, listings
from depo_lightning.envs.webshop.generate.words import Attribute, attributes

PRODUCTS, ANNOTATIONS, WISHES = "items_shuffle.json", "items_ins_v2.json", "items_human_ins.json"
_OPENINGS = (
    "i am looking for",
    "i need",
    "find me",
    "i want to buy",
    "please get me",
    "i would like",
    "can you find",
    "looking for",
)
_REWORDED = 0.4  # share of attributes asked for in other words than the product's page
_RENAMED = 0.2  # share of instructions that call the thing by another name
_WITH_OPTION = 0.85  # chance of each option to be asked for
_AN = ("a", "e", "i", "o", "hdmi")
_NOT_AN = ("us", "uni", "eu")
_OPTION_WORDS = {
    "color": ("in {value}", "in the color {value}", "the color should be {value}"),
    "size": ("size {value}", "in size {value}", "the size should be {value}"),
}
_OTHER_OPTION = ("{value} {name}", "the {name} should be {value}")


def wish(listing: Listing, seed: int = 0) -> dict[str, Any]:
    """What a person who has this product in mind says, as an entry of the instructions file.

    Two or three of the product's attributes, one or more of which it need not share with its siblings, and most of
    its options; the price ceiling is the loader's to add.
    """
    rng = Random(f"{seed}/{listing.asin}")
    wanted = rng.sample(listing.attributes, rng.choice((2, 3)))
    chosen = {name: rng.choice(values) for name, values in listing.options.items() if rng.random() < _WITH_OPTION}
    return {
        "asin": listing.asin,
        "instruction": _sentence(listing, wanted, chosen, rng),
        "instruction_attributes": wanted,
        "instruction_options": list(chosen.values()),
    }


def annotation(listing: Listing, seed: int = 0) -> dict[str, Any]:
    """The product's entry in the annotations file, with the short instruction that WebShop builds itself."""
    wanted = Random(f"{seed}/{listing.asin}/short").sample(listing.attributes, 2)
    text = f"Find me {wanted[0]} {listing.kind.say} with {wanted[1]}"
    return {"attributes": list(listing.attributes), "instruction": text, "instruction_attributes": wanted}


def write_files(folder: Path, count: int = 1000, seed: int = 0) -> None:
    """Write the shop as WebShop's files: products, annotations, and instructions by people."""
    folder.mkdir(parents=True, exist_ok=True)
    shop = list(listings(count, seed))
    contents = {
        PRODUCTS: [listing.item for listing in shop],
        ANNOTATIONS: {listing.asin: annotation(listing, seed) for listing in shop},
        WISHES: {listing.asin: [wish(listing, seed)] for listing in shop},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _sentence(listing: Listing, wanted: list[str], chosen: dict[str, str], rng: Random) -> str:
    known = attributes()
    said = [(known[name], _words_for(known[name], rng)) for name in wanted]
    before = [words for attribute, words in said if attribute.place == "is" and _stands_before(attribute, words)]
    after = [words for attribute, words in said if attribute.place == "is" and not _stands_before(attribute, words)]
    noun = rng.choice(listing.kind.also) if rng.random() < _RENAMED else listing.kind.say
    several = noun.endswith("s") and not noun.endswith("ss")
    lead = "" if several and listing.kind.lead in ("a", "an") else listing.kind.lead
    thing = ", ".join(before) + " " + noun if before else noun
    parts = [rng.choice(_OPENINGS), _led(lead, thing)]
    if after:
        parts.append(f"that {'are' if several else 'is'} {' and '.join(after)}")
    for place, joint in (("of", "made of"), ("with", "with"), ("for", "for")):
        words = [words for attribute, words in said if attribute.place == place]
        if words:
            parts.append(f"{joint} {' and '.join(words)}")
    sentence = " ".join(parts)
    for name, value in chosen.items():
        pattern = rng.choice(_OPTION_WORDS.get(name, _OTHER_OPTION))
        sentence += ", " + pattern.format(name=name, value=value)
    return sentence


def _words_for(attribute: Attribute, rng: Random) -> str:
    if attribute.other and rng.random() < _REWORDED:
        return rng.choice(attribute.other)
    return attribute.name


def _stands_before(attribute: Attribute, words: str) -> bool:
    """Whether an adjective stands before its noun: `slip-resistant` does, `resistant to slipping` does not."""
    return words == attribute.name or " " not in words


def _led(lead: str, thing: str) -> str:
    if lead not in ("a", "an"):
        return f"{lead} {thing}".strip()
    an = thing.startswith(_AN) and not thing.startswith(_NOT_AN)
    return f"{'an' if an else 'a'} {thing}"
