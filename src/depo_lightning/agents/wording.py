"""The words of the scripted teacher's thoughts: the same move, said tersely or at length.

A terse thought names what matters and where it is, so that a small model learns to copy the right words into the
action. A verbose one says the same between sentences that restate the goal and the view.
"""

from __future__ import annotations

from random import Random

from depo_lightning.agents.babyai_policy import Move, Why
from depo_lightning.agents.babyai_text import Situation

VERBOSE_WORDS = 13  # a thought of at least so many words counts as verbose

_OPENINGS = (
    "My goal is to {goal}.",
    "In this task I need to {goal}.",
    "The task says that I have to {goal}.",
)
_CLOSINGS = (
    "So now I will {action}.",
    "That is why I {action} now.",
    "Therefore I decide to {action}.",
)
_TERSE: dict[Why, tuple[str, ...]] = {
    Why.REACH: ("I see {thing} {where}.", "The {thing} is {where}."),
    Why.LOOK: ("I see no {target}, so I {action}.", "There is no {target}, {action}."),
    Why.WALK: ("I see no {target}, so I {action}.", "There is no {target}, {action}."),
    Why.DOOR: ("I see no {target}, try {thing}.", "There is no {target}, try {thing}."),
    Why.VISIT: ("I check {thing} {where}.", "I go by {thing} {where}."),
    Why.HANDS: ("I put down what I carry.", "I need my hands free first."),
    Why.ASIDE: ("I {action} to look around.", "I try to {action} first."),
}


def thought_for(situation: Situation, move: Move, target: str, verbose: bool, rng: Random) -> str:
    """A thought that leads to `move`; `target` is what the policy is after, in words."""
    words = {
        "goal": situation.goal,
        "action": move.action,
        "target": target,
        "thing": move.thing.ref if move.thing else "",
        "where": move.thing.where if move.thing else "",
    }
    terse = rng.choice(_TERSE[move.why]).format_map(words)
    if not verbose:
        return terse
    parts = (rng.choice(_OPENINGS), _scene(situation), terse, rng.choice(_CLOSINGS))
    return " ".join(part.format_map(words) for part in parts)


def is_verbose(thought: str) -> bool:
    """Whether a thought is of the verbose style."""
    return len(thought.split()) >= VERBOSE_WORDS


def _scene(situation: Situation) -> str:
    count = len(situation.view.things)
    load = situation.view.carrying or "nothing"
    if count == 0:
        return f"I can see nothing and I carry {load}."
    return f"I can see {count} object{'s' if count > 1 else ''} and I carry {load}."
