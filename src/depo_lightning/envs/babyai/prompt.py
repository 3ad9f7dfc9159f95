"""The instruction an agent gets, and the protocol's phrases for a tokenizer trained from scratch."""

from __future__ import annotations

import re

SYSTEM_PROMPT = """\
You control an agent in a small grid world of rooms, doors and objects, and you are given a goal. Each turn you are \
told what you can see from where you stand and which actions are available; you answer with one short thought and \
exactly one action. Reach the goal in as few turns as you can.

Actions:
- turn left, turn right, move forward: one step of the agent itself.
- go to <object> <n>: walk up to object number n of that name, as numbered in the observation, and face it.
- pickup <object> <n>: walk up to it and pick it up. You can carry one thing at a time.
- drop: put down what you carry, on the free cell in front of you.
- go through <door> <n>: walk into the doorway of an open door.
- toggle and go through <door> <n>: open a closed door and step into it; a locked door opens only while you carry a \
key of its colour.
- toggle: open or close the door right in front of you.
- check available actions: list what can be done now.

Answer in this format and with nothing else:
Thought:
<what you conclude>

Action:
<one action>"""

_COLOUR = "(red|green|blue|purple|yellow|grey)"
_LITERALS = (
    "In front of you in this room, you can see several objects:",
    "You cannot see any objects within sight.",
    " You are not carrying anything.",
    " You are carrying a",
    " right in front of you",
    " steps in front of you and",
    " steps away.",
    '\nAvailable actions: ["',
    '"]',
    "turn left",
    "turn right",
    "move forward",
    "go to",
    "go through",
    "toggle and go through",
    "toggle",
    "pickup",
    "drop",
    "check available actions",
    "You can take the following actions:",
    "Your goal:",
    " pick up",
    " next to",
    " in front of you",
    " behind you",
    "\n The task is completed.",
    "No change in state.",
    "The action is not recognized. Please check valid actions.",
    "There is a barrier in front of you, you can't move forward.",
    "You cannot",
    " the object, as there is already an object in front of you.",
    " the object, as you are not carrying anything.",
    ", as there is no path leading to it.",
    ", as it is closed. You should toggle it first.",
    ", as you are not carrying a key.",
    ", as the color of the key you are carrying does not match the color of door.",
)
_VERB = "(turn left|turn right|move forward|go to|(toggle and )?go through|toggle|pickup|drop|check available actions)"
_PATTERNS = (
    f'", "{_VERB}',
    f" {_COLOUR} (open |closed |locked )?(ball|box|key|door)",
    " {1,2}There is a",
    r" {0,2}The room has walls around you\.",
    r" You are facing a (wall|box)",
    r" steps to your (left|right)\.",
    r" on your (left|right)",
    r" [0-9]+",
)


def _literal(text: str) -> str:
    """`re.escape`, but blanks and line ends stay as they are: other regex dialects do not know them escaped."""
    return "".join(character if character in " \n" else re.escape(character) for character in text)


PHRASES = tuple(sorted((*_PATTERNS, *map(_literal, _LITERALS)), key=len, reverse=True))
