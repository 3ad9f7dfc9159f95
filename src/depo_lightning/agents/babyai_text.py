"""What the text of a BabyAI conversation says: the goal, the things in view, the actions on offer, what was done.

Everything here is read from the words an agent meets, never from the simulator, so whatever is built on it
knows no more than a language model would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from depo_lightning.agents.react import FormatError, parse_turn

_THING = re.compile(
    r"There is a ([a-z ]+?) (\d+) (?:right in front of you (\d+) steps away"
    r"|(\d+) steps in front of you and (\d+) steps to your (left|right))"
)
_FACING = re.compile(r"You are facing a (\w+) (\d+) steps away")
_CARRYING = re.compile(r"You are carrying a (\w+) (\w+)")
_ACTIONS = re.compile(r"Available actions: \[(.*)\]")
_QUOTED = re.compile(r'"([^"]*)"')
_GOAL = re.compile(r"Your goal: ([^\n]*)")
_TARGET = r"(?:the|an?) (?:(red|green|blue|purple|yellow|grey) )?(ball|box|key|door|object)"
_PLACE = r"(?: (?:in|on your|to your)? ?(front|left|right|behind)(?: of you| you)?)?"
_TASK = re.compile(rf"(go to|pick up|open|put) {_TARGET}{_PLACE}(?: next to {_TARGET})?")


@dataclass(frozen=True, slots=True)
class Thing:
    """An object in view: its name as the text writes it, and where it is, in steps from the agent."""

    name: str
    number: int
    ahead: int
    right: int  # negative to the left

    @property
    def ref(self) -> str:
        """How actions name it: `red ball 1`."""
        return f"{self.name} {self.number}"

    @property
    def distance(self) -> int:
        return abs(self.ahead) + abs(self.right)

    @property
    def is_door(self) -> bool:
        return self.name.endswith("door")

    @property
    def where(self) -> str:
        """The side it is on, in the words of the protocol."""
        if self.right == 0:
            return "ahead"
        return "on your right" if self.right > 0 else "on your left"


@dataclass(frozen=True, slots=True)
class Target:
    """A description such as `a red ball on your left`; an empty field means any."""

    color: str
    kind: str
    place: str = ""

    @property
    def words(self) -> str:
        return f"{self.color} {self.kind}".strip()

    def fits(self, name: str) -> bool:
        """Whether a name (`red ball`, `blue closed door`) meets the description, its place aside."""
        parts = name.split()
        kind_fits = self.kind == parts[-1] or (self.kind == "object" and parts[-1] != "door")
        return kind_fits and self.color in ("", parts[0])


@dataclass(frozen=True, slots=True)
class Task:
    """One clause of the goal; `beside` is where `put` wants the target."""

    verb: str
    target: Target
    beside: Target | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One descriptive observation. `facing` is the distance to the wall or box ahead, None if none is in sight."""

    things: tuple[Thing, ...]
    facing: int | None
    carrying: str


@dataclass(frozen=True, slots=True)
class Situation:
    """The conversation so far, read.

    Attributes:
        goal: the goal's own words.
        tasks: its clauses, in the order to be done.
        view: the latest descriptive observation.
        actions: the actions on offer now.
        past: the agent's actions, oldest first.
        futile: actions since the description last changed; repeating them would change nothing again.
        last_thought: the agent's latest thought, empty before the first turn.
    """

    goal: str
    tasks: tuple[Task, ...]
    view: View
    actions: tuple[str, ...]
    past: tuple[str, ...]
    futile: frozenset[str]
    last_thought: str


def read_situation(messages: Sequence[Mapping[str, str]]) -> Situation:
    """Read a chat that ends with an observation."""
    goal, description, actions = "", "", ""
    past: list[str] = []
    futile: list[str] = []
    thought = ""
    for message in messages:
        text = message["content"]
        if message["role"] == "assistant":
            thought, action = _turn(text)
            past.append(action)
            futile.append(action)
        elif message["role"] == "user":
            found = _GOAL.search(text)
            goal = found[1] if found else goal
            now = _description(text)
            if now and now != description:
                description, futile = now, []
            actions = text
    return Situation(
        goal=goal,
        tasks=read_goal(goal),
        view=read_view(description),
        actions=_actions(actions),
        past=tuple(past),
        futile=frozenset(futile),
        last_thought=thought,
    )


@lru_cache(maxsize=4096)
def read_goal(goal: str) -> tuple[Task, ...]:
    """The clauses of a goal line, in order."""
    tasks = []
    for verb, color, kind, place, beside_color, beside_kind in _TASK.findall(goal):
        beside = Target(beside_color, beside_kind) if beside_kind else None
        tasks.append(Task(verb, Target(color, kind, place), beside))
    return tuple(tasks)


@lru_cache(maxsize=4096)
def read_view(description: str) -> View:
    """The things, the barrier and the load that a description names."""
    things = []
    for name, number, straight, ahead, aside, side in _THING.findall(description):
        right = 0 if straight else int(aside) * (1 if side == "right" else -1)
        things.append(Thing(name, int(number), int(straight or ahead), right))
    facing = _FACING.search(description)
    carrying = _CARRYING.search(description)
    return View(tuple(things), int(facing[2]) if facing else None, f"{carrying[1]} {carrying[2]}" if carrying else "")


def _description(text: str) -> str:
    """The descriptive part of an observation, empty for a refusal or a list of actions."""
    start = 0 if not text.startswith("Your goal:") else text.find("\n") + 1
    end = text.find("\nAvailable actions:")
    body = text[start : end if end >= 0 else len(text)]
    return body if "arrying a" in body else ""


@lru_cache(maxsize=4096)
def _actions(text: str) -> tuple[str, ...]:
    found = _ACTIONS.search(text)
    return tuple(_QUOTED.findall(found[1])) if found else ()


@lru_cache(maxsize=4096)
def _turn(text: str) -> tuple[str, str]:
    try:
        turn = parse_turn(text)
    except FormatError:
        return "", ""
    return turn.thought, turn.action
