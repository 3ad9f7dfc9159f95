"""Shorter thoughts for desirable episodes, with every action left as it is (DEPO, the rephrasing of D)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from depo_lightning.agents.react import FormatError, format_turn, parse_turn
from depo_lightning.collect.aio import map_limited, run_async
from depo_lightning.errors import DataError
from depo_lightning.trajectory import Label, Step, Trajectory


class Rephraser(Protocol):
    """Writes the thoughts of an episode anew."""

    async def shorten(self, steps: Sequence[Step]) -> list[str]:
        """One thought per step, each shorter than or equal to the step's own; actions are not its business."""
        ...


class NoneRephraser:
    """Leaves every thought as it is."""

    async def shorten(self, steps: Sequence[Step]) -> list[str]:
        """See `Rephraser.shorten`."""
        return [step.thought for step in steps]


class RulesRephraser:
    """Shortens thoughts by rules that know nothing of any environment.

    Of a thought's sentences, the one stays that names most of the action's words (the shortest of equals, the
    last one if none names any); then clauses that only introduce it fall away.
    """

    async def shorten(self, steps: Sequence[Step]) -> list[str]:
        """See `Rephraser.shorten`."""
        return [shorten_thought(step.thought, step.action) for step in steps]


_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[a-z0-9]+")
_LEAD_IN = re.compile(
    r"^(?:(?:so|then|therefore|thus|hence|however|and|but|as a result|in order to do (?:so|that|this)"
    r"|based on (?:the|this|my) observation|after thinking about it|let me think|i think(?: that)?"
    r"|i believe(?: that)?|i can see that|i notice that|it seems that|it looks like|that is why)(?:,\s*|\s+)"
    r"|(?:first|next|now|well|okay|ok|also),\s*)+",
    re.IGNORECASE,
)
_EMPTY_WORDS = frozenset(
    ("a", "an", "the", "to", "of", "in", "on", "is", "it", "i", "my", "me", "and", "or", "so", "go")
)


def shorten_thought(thought: str, action: str) -> str:
    """The part of a thought that speaks of the action; never longer than the thought.

    Args:
        thought: any text; an empty one stays empty.
        action: the action it led to.
    """
    sentences = [part.strip() for part in _SENTENCE.split(thought) if part.strip()]
    if not sentences:
        return thought
    about = set(_WORD.findall(action.lower())) - _EMPTY_WORDS
    named = [len(about & set(_WORD.findall(sentence.lower()))) for sentence in sentences]
    most = max(named)
    if most == 0:
        chosen = sentences[-1]
    else:
        chosen = min((s for s, count in zip(sentences, named, strict=True) if count == most), key=len)
    stripped = _LEAD_IN.sub("", chosen)
    if _WORD.search(stripped.lower()):
        chosen = stripped[0].upper() + stripped[1:] if chosen[0].isupper() else stripped
    return chosen if len(chosen) < len(thought) else thought


@dataclass(frozen=True, slots=True)
class RephraseReport:
    """What rephrasing did to the desirable episodes.

    Attributes:
        episodes: desirable episodes given.
        changed_episodes: those with at least one changed step.
        steps, changed_steps: the same for their steps.
        rejected_steps: rewrites thrown away, the original kept: longer than before, empty, or not one well-formed
            turn with the same action.
        words_before, words_after: words in the thoughts of all desirable episodes.
    """

    episodes: int
    changed_episodes: int
    steps: int
    changed_steps: int
    rejected_steps: int
    words_before: int
    words_after: int

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def rephrase(
    trajectories: Sequence[Trajectory], rephraser: Rephraser, concurrency: int = 8
) -> tuple[list[Trajectory], RephraseReport]:
    """Rewrite the thoughts of the desirable episodes; everything else is returned as given.

    A rewrite is taken only if it is shorter, and if the turn made of it reads back as that thought and the very
    same action. Changed steps have `tokens` 0, to be counted anew; `rephrased` is set where a step changed.

    Args:
        trajectories: labelled episodes.
        rephraser: writes the thoughts.
        concurrency: episodes in flight at a time.

    Returns:
        All episodes in the given order, and the report.

    Raises:
        DataError: the rephraser returned another number of thoughts than there are steps.
    """
    chosen = [item for item in trajectories if item.label is Label.DESIRABLE]

    async def ask(item: Trajectory) -> list[str]:
        return await rephraser.shorten(item.steps)

    answers = run_async(map_limited(ask, chosen, concurrency))
    rewritten: dict[str, Trajectory] = {}
    changed_steps = rejected = 0
    for item, thoughts in zip(chosen, answers, strict=True):
        if len(thoughts) != len(item.steps):
            raise DataError(
                f"rephraser: episode {item.id!r} has {len(item.steps)} steps, the rephraser returned {len(thoughts)} "
                "thoughts; it must return one for each step"
            )
        wanted = [new for new, step in zip(thoughts, item.steps, strict=True) if new != step.thought]
        steps = tuple(_rewritten(step, thought) for step, thought in zip(item.steps, thoughts, strict=True))
        changed = sum(new is not old for new, old in zip(steps, item.steps, strict=True))
        changed_steps += changed
        rejected += len(wanted) - changed
        rewritten[item.id] = replace(item, steps=steps, rephrased=True) if changed else item
    report = RephraseReport(
        episodes=len(chosen),
        changed_episodes=sum(rewritten[item.id] is not item for item in chosen),
        steps=sum(item.t_step for item in chosen),
        changed_steps=changed_steps,
        rejected_steps=rejected,
        words_before=_words(chosen),
        words_after=_words(rewritten.values()),
    )
    return [rewritten.get(item.id, item) for item in trajectories], report


def _rewritten(step: Step, thought: str) -> Step:
    """The step with another thought; the very same object where the rewrite is not acceptable."""
    if len(thought) >= len(step.thought) or not thought.strip():
        return step
    text = format_turn(thought, step.action)
    try:
        turn = parse_turn(text)
    except FormatError:
        return step
    if turn.thought != thought or turn.action != step.action or len(text) >= len(step.text):
        return step
    return replace(step, thought=thought, text=text, tokens=0)


def _words(trajectories: Any) -> int:
    return sum(len(step.thought.split()) for item in trajectories for step in item.steps)
