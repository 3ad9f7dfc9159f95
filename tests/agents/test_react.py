"""The text of one turn, against what the reference client makes of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depo_lightning.agents.react import FormatError, Turn, format_turn, parse_turn
from depo_lightning.envs.webshop.state import parse

line = st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",))).map(str.strip)


@given(thought=line.filter(lambda t: "Action:" not in t and "Thought:" not in t), action=line)
def test_what_is_formatted_is_parsed(thought: str, action: str) -> None:
    if "Action:" in action:
        return
    assert parse_turn(format_turn(thought, action)) == Turn(thought, action)


def test_the_prompted_form() -> None:
    assert format_turn("I see it.", "go to red ball 1") == "Thought:\nI see it.\n\nAction:\ngo to red ball 1"
    assert format_turn("", "toggle") == "Thought:\n\n\nAction:\ntoggle"


@pytest.mark.parametrize(
    ("text", "turn"),
    [
        ("Action: toggle", Turn("", "toggle")),
        ("Thought: a\nb\n\nAction:   turn left  \nmore talk", Turn("a\nb", "turn left")),
        ("go to red ball 1", Turn("go to red ball 1", "")),
        ("", Turn("", "")),
        ("Thought:\nAction:", Turn("", "")),
        ("Action:\n\n\nclick[buy now]", Turn("", "click[buy now]")),
        ("action: toggle", Turn("action: toggle", "")),
    ],
)
def test_loose_forms(text: str, turn: Turn) -> None:
    assert parse_turn(text) == turn


def test_two_actions_are_refused_in_the_references_words() -> None:
    with pytest.raises(FormatError) as caught:
        parse_turn("Action: toggle\nAction: drop")
    message = "Error: Only one 'Action' is allowed per response. Please adjust your response."
    assert str(caught.value) == message


@given(st.lists(st.sampled_from(["Action:", "Thought:", "\n", " ", "go", "drop"])).map("".join))
def test_agrees_with_the_references_expression(text: str) -> None:
    found = re.findall(r"Action:\s*(.*?)(?=\n|$)", text, re.DOTALL)
    if len(found) > 1:
        with pytest.raises(FormatError):
            parse_turn(text)
    else:
        assert parse_turn(text).action == (found[-1] if found else "").strip()


@pytest.mark.parametrize(
    ("text", "turn"),
    [
        ("Thought:\nTea.\n\nAction:\nclick[buy now]", Turn("Tea.", "click[buy now]")),
        ("Action: click[a]\nAction: click[b]\nmore", Turn("Action: click[a]", "click[b]")),
        ("search[tea]", Turn("", "search[tea]")),
        (" click[buy now]\nand then", Turn("", "click[buy now]")),
        ("I say search[tea]", Turn("I say search[tea]", "")),
        ("no idea", Turn("no idea", "")),
        ("", Turn("", "")),
    ],
)
def test_the_last_action_where_it_counts(text: str, turn: Turn) -> None:
    assert parse_turn(text, last_action=True) == turn


@given(st.lists(st.sampled_from(["Action:", "Thought:", "\n", " ", "search[tea]", "click[b]", "or", "["])).map("".join))
def test_webshops_client_plays_the_same(text: str) -> None:
    """AgentGym's WebShop client splits at the last `Action:`, or takes a text with a verb and a bracket whole."""
    _, mark, after = text.rpartition("Action:")
    theirs = after if mark or "search[" in text or "click[" in text else ""
    assert played(parse_turn(text, last_action=True).action) == played(theirs.strip())


def played(action: str) -> tuple[str, str] | None:
    """What the shop makes of an action; all that it refuses is one."""
    found = parse(action)
    return found if found and found[0] in ("search", "click") else None
