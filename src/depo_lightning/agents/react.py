"""The text of one agent turn in ReAct form, as AgentGym prompts for it and reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

ONE_ACTION_ONLY = "Error: Only one 'Action' is allowed per response. Please adjust your response."
PHRASES = (r"\n\nAction:\n", r"Thought:\n")  # what a tokenizer trained from scratch keeps whole
_ACTION = re.compile(r"Action:\s*(.*?)(?=\n|$)", re.DOTALL)  # the reference client's expression, to the letter
_CALL = re.compile(r"\s*\w+\[.+\]")  # an action that stands alone, without `Action:` before it
_THOUGHT = re.compile(r"\s*(?:Thought:)?\s*(.*?)\s*", re.DOTALL)


class FormatError(Exception):
    """A turn that cannot be played; the message is the observation that answers it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One ReAct response, taken apart."""

    thought: str
    action: str


def format_turn(thought: str, action: str) -> str:
    """The text of a turn; an empty thought is allowed."""
    return f"Thought:\n{thought}\n\nAction:\n{action}"


def parse_turn(text: str, last_action: bool = False) -> Turn:
    """Read a turn as the reference client does.

    The action is the rest of the first line that follows `Action:`; without one it is empty, which every
    environment refuses as an invalid action. Cleaning the action's characters is the environment's part, since
    each protocol allows others.

    Args:
        text: the turn.
        last_action: as WebShop's client reads turns (see `TextEnv.last_action`): of several `Action:` the last one
            counts, and a text that is nothing but `verb[argument]` is an action.

    Raises:
        FormatError: more than one `Action:`, unless the last one counts; the environment must not be touched.
    """
    if last_action:
        return _last_turn(text)
    found = list(_ACTION.finditer(text))
    if len(found) > 1:
        raise FormatError(ONE_ACTION_ONLY)
    before = text[: found[0].start()] if found else text
    return Turn(thought=_thought(before), action=found[0][1].strip() if found else "")


def _last_turn(text: str) -> Turn:
    before, mark, after = text.rpartition("Action:")
    if not mark and not _CALL.match(text):
        return Turn(thought=_thought(text), action="")
    return Turn(thought=_thought(before), action=after.strip().partition("\n")[0].strip())


def _thought(text: str) -> str:
    found = _THOUGHT.fullmatch(text)
    assert found is not None  # the expression matches every string
    return found[1]


def action_end(text: str) -> int:
    """Where the line of a turn's action ends; the text's length where it has no action."""
    found = _ACTION.search(text)
    return found.end(1) if found else len(text)
