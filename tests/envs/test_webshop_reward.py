"""WebShop's reward on purchases small enough to work out by hand, and the taggers."""

import json

import pytest

import depo_lightning as dl
from depo_lightning.envs.webshop.nouns import DEFAULT_TAGGER, tagger
from depo_lightning.errors import ConfigError, DataError

PATH = "Clothing › Shoes › Running"


def product(**changes):
    record = {
        "name": "Stone running shoes",
        "query": "running shoes",
        "product_category": PATH,
        "small_description": ["Rubber sole for years", "vegan"],
        "full_description": "They are easy to clean.",
        "attributes": ["machine wash"],
    }
    return record | changes


def goal(**changes):
    wanted = {
        "name": "Stone running shoes",
        "query": "running shoes",
        "product_category": PATH,
        "attributes": ["machine washable"],
        "goal_options": {"color": "light blue"},
        "price_upper": 50.0,
    }
    return wanted | changes


def reward(bought=None, wanted=None, price=40.0, options=None, nouns=str.split):
    chosen = {"color": "blue"} if options is None else options
    return dl.envs.webshop.purchase_reward(bought or product(), wanted or goal(), price, chosen, nouns=nouns)


def test_everything_met_is_one_and_each_part_counts_alike():
    assert reward() == 1.0
    assert reward(price=50.0) == 1.0
    assert reward(price=50.01) == 2 / 3
    assert reward(options={}) == 2 / 3
    assert reward(options={"color": "red"}, price=60) == 1 / 3
    assert reward(wanted=goal(attributes=["gluten free"]), price=60, options={}) == 0.0


@pytest.mark.parametrize(
    ("attribute", "met"),
    [
        ("machine washable", True),  # token set ratio 86 with "machine wash"
        ("machine waxing", False),
        ("rubber sole", True),  # literally in a bullet, once both are lower-case
        ("years vegan", True),  # bullets are joined by blanks before they are searched
        ("easy to clean", True),
        ("Easy to clean", False),  # texts are lowered, wishes are not
    ],
)
def test_attributes_match_loosely_in_annotations_and_literally_in_texts(attribute, met):
    assert (reward(wanted=goal(attributes=[attribute])) == 1.0) is met


@pytest.mark.parametrize(
    ("wished", "chosen", "met"),
    [
        ({"color": "light blue"}, "navy blue", True),  # chosen: "blue", of the pair ("color", "light blue")
        ({"color": "blue"}, "sky-blue", True),
        ({"color": "navy"}, "light blue navy", False),  # chosen: "blue", wished: "navy"
        (["navy"], "navy blue", False),  # in the order of the list blue precedes navy
        (["size: 9 wide"], "9 wide", True),
        ({"size": "9 wide"}, "10 wide", False),
        ({"red": "9 wide"}, "rusty red", True),  # a pair's name counts as well
    ],
)
def test_options_are_compared_by_their_first_colour(wished, chosen, met):
    assert (reward(wanted=goal(goal_options=wished), options={"any": chosen}) == 1.0) is met


@pytest.mark.parametrize(
    ("name", "same_query", "path", "factor"),
    [
        ("stone running shoes of ten more words in the title", False, "A › B", 1.0),  # 3 of 3 nouns
        ("running tea", True, "A", 1.0),
        ("tea", True, PATH, 0.0),  # no noun: the same query cannot help
    ],
)
def test_type_by_few_nouns(name, same_query, path, factor):
    bought = product(name=name, query="running shoes" if same_query else "tea", product_category=path)
    assert reward(bought, goal(name="stone running shoes")) == factor


@pytest.mark.parametrize(
    ("shared", "path", "factor"),
    [
        (0, "Clothing › Shoes", 0.0),
        (1, "Clothing › Shoes", 0.1),
        (2, "Tea › Clothing", 0.5),
        (2, " Shoes›Clothing ", 1.0),  # two levels in any order
        (4, "Tea", 0.5),
        (5, "Tea", 1.0),
    ],
)
def test_type_by_the_share_of_the_goals_nouns(shared, path, factor):
    """The goal's title has twenty nouns; the query never agrees."""
    nouns = [f"n{number}" for number in range(20)]
    bought = product(name=" ".join(["x", *nouns[:shared]]), query="tea", product_category=path)
    assert reward(bought, goal(name=" ".join(nouns))) == factor


def test_a_goal_without_nouns_has_an_overlap_of_a_fifth():
    assert reward(nouns=lambda title: []) == 1.0
    assert reward(product(query="tea", product_category="A"), nouns=lambda title: []) == 0.5


def test_dictionaries_of_the_reference_and_of_the_data_files_are_the_same():
    loaded = product(Title="Stone running shoes", BulletPoints=["Rubber sole"], Description="", Attributes=["vegan"])
    for name in ("small_description", "full_description", "attributes"):
        del loaded[name]
    assert reward(loaded, goal(attributes=["vegan", "rubber sole"])) == 1.0
    assert reward(product(small_description="one text with a rubber sole"), goal(attributes=["rubber sole"])) == 1.0


def test_built_in_tagger_finds_nouns_and_remembers_them():
    found = tagger(DEFAULT_TAGGER)
    assert sorted(found("The women bought SHOES with a very soft sole.")) == ["shoes", "sole", "women"]
    assert found("12 of it") == ()
    assert reward(nouns=None) == 1.0
    assert tagger(DEFAULT_TAGGER) is found
    with pytest.raises(ConfigError, match="en_core_web_lg"):
        tagger("en_core_web_none")


def test_recorded_nouns_stand_in_for_a_tagger(tmp_path):
    path = tmp_path / "nouns.json"
    path.write_text(json.dumps({"Red Shoes": ["shoes"]}))
    assert tagger(str(path))("Red Shoes") == ("shoes",)
    with pytest.raises(DataError, match="no nouns for the title 'Tea'"):
        tagger(str(path))("Tea")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError, match="no readable JSON"):
        tagger(str(tmp_path / "broken.json"))
    with pytest.raises(ConfigError, match="no such file"):
        tagger(str(tmp_path / "none.json"))
