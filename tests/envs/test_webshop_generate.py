"""The generated shop: the same from the same seed, varied, in the official format, and asked for what it holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from depo_lightning.envs.webshop.colours import first_colour
from depo_lightning.envs.webshop.generate import listings, write_files
from depo_lightning.envs.webshop.generate.wishes import ANNOTATIONS, PRODUCTS, WISHES, annotation, wish
from depo_lightning.envs.webshop.generate.words import attributes, kinds

SHOP = list(listings(1000))
# Of products and wishes of seed 0; another one means another shop: say so, and record Lucene's answers anew.
DIGEST = "8ad94ab12c42fe2a"


def digest() -> str:
    content = [[listing.item, annotation(listing), wish(listing)] for listing in SHOP]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def test_the_shop_is_the_same_everywhere() -> None:
    assert digest() == DIGEST
    assert [listing.asin for listing in listings(10)] == [listing.asin for listing in SHOP[:10]]
    assert [listing.item for listing in listings(10, seed=1)] != [listing.item for listing in SHOP[:10]]


def test_there_is_much_to_choose_from() -> None:
    assert len({listing.asin for listing in SHOP}) == 1000
    assert len({listing.item["product_category"] for listing in SHOP}) >= 20
    assert len({listing.item["name"] for listing in SHOP}) > 950
    assert all(len(listing.asin) == 10 and listing.asin.startswith("B0") for listing in SHOP)


def test_siblings_are_alike_and_not_the_same() -> None:
    for start in range(0, 1000, 4):
        family = SHOP[start : start + 4]
        assert len({listing.kind.say for listing in family}) == 1
        assert len(set.intersection(*(set(listing.attributes) for listing in family))) >= 2
        assert len({(listing.attributes, listing.item["pricing"]) for listing in family}) == 4


def test_a_page_shows_what_a_product_is() -> None:
    for listing in SHOP:
        features = " ".join(listing.item["small_description"]).lower()
        assert all(name in features for name in listing.attributes)
        assert sum(name.title() in listing.item["name"] for name in listing.attributes) >= 1
        assert len(listing.attributes) == len(set(listing.attributes)) == 5


def test_wishes_can_be_met_by_the_product_in_mind() -> None:
    for listing in SHOP:
        wanted = wish(listing)
        values = [value for values in listing.options.values() for value in values]
        assert set(wanted["instruction_attributes"]) <= set(listing.attributes)
        assert set(wanted["instruction_options"]) <= set(values)
        assert all(value in wanted["instruction"] for value in wanted["instruction_options"])
        short = annotation(listing)
        assert all(name in short["instruction"] for name in short["instruction_attributes"])


def test_words_are_in_use_and_known() -> None:
    used = {name for kind in kinds() for name in kind.attributes}
    assert used == set(attributes())
    assert {attribute.place for attribute in attributes().values()} == {"is", "with", "for", "of"}


def test_files_are_as_the_loader_expects_them(tmp_path: Path) -> None:
    write_files(tmp_path, 12)
    products, notes, wishes = (json.loads((tmp_path / name).read_text()) for name in (PRODUCTS, ANNOTATIONS, WISHES))
    assert [item["asin"] for item in products] == [listing.asin for listing in SHOP[:12]]
    assert list(notes) == list(wishes) == [item["asin"] for item in products]


def test_no_option_hides_the_name_of_a_color() -> None:
    """The reward reduces an option to a color word in it: "standard" to "tan", which nobody asked for."""
    for kind in kinds():
        for values in kind.options.values():
            reduced = [first_colour(value) for value in values]
            assert len(set(reduced)) == len(values)
            assert all(word == value or word in value.split() for word, value in zip(reduced, values, strict=True))
