"""The data files: what the loader takes, counts, passes over and refuses."""

import errno
import json
import logging
import shutil

import pytest

from depo_lightning.envs.webshop import WebShopEnv
from depo_lightning.envs.webshop.generate import write_files
from depo_lightning.envs.webshop.market import open_market
from depo_lightning.errors import DataError

PRODUCTS, ANNOTATIONS, HUMAN = "items_shuffle.json", "items_ins_v2.json", "items_human_ins.json"


@pytest.fixture
def folder(tmp_path):
    write_files(tmp_path, 24)
    return tmp_path


def change(folder, name, edit):
    """Edit the content of a file; what `edit` returns, if anything, replaces it."""
    path = folder / name
    content = json.loads(path.read_text())
    content = edit(content) or content
    path.write_text(json.dumps(content))


def opened(folder, **kwargs):
    return WebShopEnv(data=str(folder), **kwargs).market


def test_files_and_generated_catalogue_are_one_shop(folder):
    stored, generated = opened(folder), WebShopEnv(products=24).market
    assert dict(stored.catalogue) == dict(generated.catalogue)
    assert list(stored.goals) == list(generated.goals)
    assert stored.searcher.search("running shoes", 9) == generated.searcher.search("running shoes", 9)


def test_a_second_start_opens_what_the_first_one_built(folder, monkeypatch):
    first = opened(folder)
    monkeypatch.setattr("depo_lightning.envs.webshop.official.stream_json", lambda *_: pytest.fail("read again"))
    open_market.cache_clear()
    again = opened(folder)
    assert dict(again.catalogue) == dict(first.catalogue)
    change(folder, PRODUCTS, lambda products: products[:-1])
    open_market.cache_clear()
    with pytest.raises(pytest.fail.Exception, match="read again"):
        opened(folder)


def test_only_the_first_products_are_taken(folder):
    asins = [product["asin"] for product in json.loads((folder / PRODUCTS).read_text())]
    assert list(opened(folder, products=5).catalogue) == asins[:5]
    (folder / "items_shuffle_1000.json").write_text((folder / PRODUCTS).read_text())
    (folder / "items_ins_v2_1000.json").write_text((folder / ANNOTATIONS).read_text())
    (folder / PRODUCTS).write_text("unused")
    assert list(opened(folder).catalogue) == asins


def test_what_is_passed_over_is_counted_and_reported(folder, caplog):
    def spoil(products):
        products[1]["asin"] = products[0]["asin"]
        products[2]["asin"] = "nan"
        products[3]["asin"] = products[3]["asin"].lower()
        products[4]["pricing"] = None
        products[5]["pricing"] = "free"
        products[6]["pricing"] = "$1.2.3"

    asins = [product["asin"] for product in json.loads((folder / PRODUCTS).read_text())]
    change(folder, PRODUCTS, spoil)
    change(folder, ANNOTATIONS, lambda notes: notes[asins[7]].update(instruction_attributes=[]))
    with caplog.at_level(logging.WARNING):
        market = opened(folder)
    assert list(market.catalogue) == [asins[0], *asins[4:]]
    assert [market.catalogue[asin].price_tag for asin in asins[4:7]] == ["$100.0"] * 3
    assert [market.catalogue[asin].price for asin in asins[4:7]] == [100.0] * 3
    told = "\n".join(caplog.messages)
    for report in (
        f"{PRODUCTS}: 1 products with the id of an earlier one",
        f"{PRODUCTS}: 1 products without a proper id",
        f"{PRODUCTS}: 1 products whose id is not in upper case",
        f"{PRODUCTS}: 3 prices not stated or not readable ($100 is asked)",
        f"{ANNOTATIONS}: 3 instructions for a product that the catalogue lacks",
        f"{ANNOTATIONS}: 1 instructions without attributes",
    ):
        assert report in told
    (kept,) = (folder / "index").glob("*.items_shuffle.skipped.json")
    assert json.loads(kept.read_text())["products without a proper id"] == 1
    caplog.clear()
    open_market.cache_clear()
    opened(folder)
    assert caplog.messages == []


@pytest.mark.parametrize("name", [PRODUCTS, ANNOTATIONS, HUMAN])
def test_truncated_files_are_named_with_the_remedy(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=rf"{name}: no complete JSON .*fetch it again"):
        opened(folder, instructions="human")
    assert name == HUMAN or not [path for path in folder.glob("index/*") if path.is_dir()]


def test_records_that_lack_a_field_are_named(folder):
    change(folder, PRODUCTS, lambda products: products[6].pop("full_description") and None)
    with pytest.raises(DataError, match=r"items_shuffle.json: record 7: no field 'full_description'"):
        opened(folder)


def test_an_instruction_without_its_text_is_named(folder):
    asin = json.loads((folder / PRODUCTS).read_text())[2]["asin"]
    change(folder, HUMAN, lambda told: told[asin][0].pop("instruction") and None)
    with pytest.raises(DataError, match=rf"items_human_ins.json: {asin}: instruction 1: no field 'instruction'"):
        opened(folder, instructions="human")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", 5, "field 'name' is 5; expected a text"),
        ("asin", 3, "field 'asin' is 3; expected a text"),
        ("full_description", ["a"], r"field 'full_description' is \['a'\]; expected a text"),
        ("small_description", [1], r"field 'small_description' is \[1\]; expected a list of texts"),
        ("pricing", 12.5, "field 'pricing' is 12.5; expected a text"),
        ("customization_options", {"size": ["S"]}, "a value of option 'size' is 'S'; expected an object"),
        ("customization_options", {"size": [{"value": 9}]}, "field 'value' is 9; expected a text"),
    ],
)
def test_fields_of_another_type_are_named(folder, field, value, told):
    change(folder, PRODUCTS, lambda products: products[6].update({field: value}))
    with pytest.raises(DataError, match=rf"{PRODUCTS}: record 7: {told}"):
        opened(folder)


@pytest.mark.parametrize(
    ("name", "entry", "told"),
    [
        (ANNOTATIONS, None, "the annotation of .* is None; expected an object"),
        (ANNOTATIONS, {"attributes": "soft"}, "field 'attributes' is 'soft'; expected a list of texts"),
        (ANNOTATIONS, {"instruction": 5, "instruction_attributes": ["a"]}, "instruction 1: field 'instruction' is 5"),
        (ANNOTATIONS, {"instruction": "x", "instruction_attributes": "soft"}, "is 'soft'; expected a list of texts"),
        (HUMAN, 3, "the list of its instructions is 3; expected a list"),
        (HUMAN, [None], "instruction 1: it is None; expected an object"),
        (
            HUMAN,
            [{"instruction_attributes": ["a"], "instruction_options": "red"}],
            "is 'red'; expected a list of texts",
        ),
    ],
)
def test_annotations_and_instructions_of_another_type_are_named(folder, name, entry, told):
    """Texts in the place of lists were taken apart into letters."""
    asin = json.loads((folder / PRODUCTS).read_text())[2]["asin"]
    change(folder, name, lambda content: content.update({asin: entry}))
    with pytest.raises(DataError, match=told):
        opened(folder, instructions="human" if name == HUMAN else "synthetic")


def test_an_entry_that_tells_nothing_of_an_absent_product_is_passed_over(folder):
    for absent in (None, {}):
        change(folder, ANNOTATIONS, lambda content, absent=absent: content.update(ABSENT0001=absent))
        assert opened(folder).goals
        open_market.cache_clear()
    for absent in (None, []):
        change(folder, HUMAN, lambda content, absent=absent: content.update(ABSENT0001=absent))
        assert opened(folder, instructions="human").goals
        open_market.cache_clear()


@pytest.mark.parametrize("name", [PRODUCTS, ANNOTATIONS, HUMAN])
def test_files_that_hold_something_else_are_named(folder, name):
    (folder / name).write_text("null")
    with pytest.raises(DataError, match=rf"{name}: it .*null|{name}: it is None; expected an object"):
        opened(folder, instructions="human")


def test_a_byte_order_mark_is_no_fault(folder):
    for name in (PRODUCTS, ANNOTATIONS, HUMAN):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    assert len(opened(folder, instructions="human").catalogue) == 24


def test_ids_that_no_click_can_name_are_passed_over(folder):
    def spoil(products):
        products[0]["asin"], products[1]["asin"], products[2]["asin"] = "", None, "ÄÖÜ0000001"

    change(folder, PRODUCTS, spoil)
    market = opened(folder)
    assert len(market.catalogue) == 21
    (kept,) = (folder / "index").glob("*.items_shuffle.skipped.json")
    assert json.loads(kept.read_text()) == {"products without a proper id": 3}


@pytest.mark.parametrize("content", ["[]", '{"a title": 3}', '{"a title": "shoes"}'])
def test_recorded_nouns_of_another_form_are_named(folder, content):
    nouns = folder / "nouns.json"
    nouns.write_text(content)
    with pytest.raises(DataError, match=r"nouns.json'?: expected a JSON object, title → list of lower-case nouns"):
        opened(folder, tagger=str(nouns))


def test_a_catalogue_without_instructions_is_refused(folder):
    (folder / HUMAN).write_text("{}")
    with pytest.raises(DataError, match="no human instruction is for any of its products"):
        opened(folder, instructions="human")


def test_prices_of_ranges_lie_within(folder):
    change(folder, PRODUCTS, lambda products: products[0].update(pricing="$1,010.00 - $1,020.50"))
    product = next(iter(opened(folder).catalogue.values()))
    assert product.prices == (1010.0, 1020.5)
    assert product.price_tag == "$1010.0 to $1020.5"
    assert 1010 < product.price < 1020.5


@pytest.mark.parametrize("kind", ["synthetic", "human"])
def test_goals_are_numbered_once_and_kept(folder, monkeypatch, kind):
    first = list(opened(folder, instructions=kind).goals)
    assert first == list(WebShopEnv(products=24, instructions=kind).market.goals)
    monkeypatch.setattr("depo_lightning.envs.webshop.stored_goals.numbered", lambda *_: pytest.fail("numbered again"))
    open_market.cache_clear()
    again = opened(folder, instructions=kind).goals
    assert list(again) == first
    with pytest.raises(IndexError):
        again[len(again)]
    change(folder, HUMAN if kind == "human" else ANNOTATIONS, lambda content: content.update(ABSENT0001=None))
    open_market.cache_clear()
    with pytest.raises(pytest.fail.Exception, match="numbered again"):
        opened(folder, instructions=kind)


def test_goals_of_a_shared_index_that_cannot_be_written_are_numbered_in_memory(folder, monkeypatch):
    kept = list(opened(folder).goals)
    (folder / "index").rename(folder / "shared")
    for goals in (folder / "shared").glob("*.goals"):
        shutil.rmtree(goals)

    def refused(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("depo_lightning.envs.webshop.kept.mkdtemp", refused)
    assert list(opened(folder, index=str(folder / "shared")).goals) == kept
