"""What a rewritten thought may name, in any script."""

import pytest

from depo_lightning.collect.grounding import Grounding

THOUGHT, SEEN = "I see the red ball ahead of me, so I walk to it.", "You see a red ball and a key."
CHINESE = "我看见红色的球，所以我走过去。"


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("Go to the ball.", []),
        ("Вижу дракона.", ["вижу", "дракона"]),
        ("Go to the café.", ["café"]),
        ("Go to the clé.", ["clé"]),
        ("红球", ["红", "球"]),
        ("赤いボール", ["赤", "い", "ボ", "ー", "ル"]),
        ("เดิน", list("เดิน")),
        ("ball ٣", ["٣"]),
    ],
)
def test_a_word_of_any_script_is_seen(text, new):
    assert Grounding().new_names(text, THOUGHT, SEEN) == list(dict.fromkeys(new))


def test_a_thought_in_the_script_of_the_old_one():
    assert Grounding().new_names("我走", CHINESE, SEEN) == []
    assert Grounding().new_names("我走“红色”", CHINESE, SEEN) == []
    assert Grounding().new_names("我看见龙", CHINESE, SEEN) == ["龙"]
    assert Grounding().new_names("Я иду", "Я вижу ключ, и я иду к нему.", SEEN) == []


@pytest.mark.parametrize(
    "thing",
    [
        *("butter", "cane", "fare", "letter", "note", "notes", "plane", "planes", "planer", "pointer", "seed"),
        *("shower", "stopper", "timer", "user"),
    ],
)
def test_a_thing_that_looks_like_a_form_of_a_common_word_is_a_thing(thing):
    thought = "It is not time to let go, but I can plan far ahead and use the fan to stop, point and show it."
    assert Grounding().new_names(f"I see the {thing}.", thought, SEEN) == [thing]
    assert Grounding().new_names(f"I see the {thing}.", thought, f"There is a {thing}.") == []


@pytest.mark.parametrize(
    "text",
    [
        "I tried turning, stopped, and am seeing, looking for it; my goal's side matches the steps needed.",
        "It goes nearer and closer, using things put or placed; others are clearly there.",
    ],
)
def test_grammar_names_nothing(text):
    assert Grounding().new_names(text, "", "") == []


def test_forms_of_a_name_are_the_name():
    assert Grounding().new_names("Balls, boxes: opened, walking.", "A ball. A box. Open it. I walk.", "") == []
