"""Shorter thoughts for desirable episodes, with every action left as it is (DEPO, the rephrasing of D)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from types import TracebackType
from typing import Any, Protocol

from depo_lightning.agents.react import FormatError, format_turn, parse_turn
from depo_lightning.collect.aio import map_limited, run_async
from depo_lightning.collect.grounding import Grounding
from depo_lightning.collect.journal import Journal
from depo_lightning.errors import DataError
from depo_lightning.trajectory import Label, Step, Trajectory


class Rephraser(Protocol):
    """Writes the thoughts of an episode anew. May be an asynchronous context manager, which is then entered first."""

    async def shorten(self, steps: Sequence[Step]) -> Rewrites:
        """New thoughts for all steps of an episode; actions are not its business."""
        ...


@dataclass(frozen=True, slots=True)
class Rewrites:
    """A rephraser's thoughts for an episode.

    Attributes:
        thoughts: one per step, None where there is no answer.
        refused: why a question for them was refused, so that an answer is missing that might have been; else empty.
    """

    thoughts: list[str | None]
    refused: str = ""


class NoneRephraser:
    """Leaves every thought as it is."""

    async def shorten(self, steps: Sequence[Step]) -> Rewrites:
        """See `Rephraser.shorten`."""
        return Rewrites([step.thought for step in steps])


class RulesRephraser:
    """Shortens thoughts by rules that know nothing of any environment.

    Of a thought's sentences, the one stays that names most of the action's words (the shortest of equals, the
    last one if none names any); then clauses that only introduce it fall away.
    """

    async def shorten(self, steps: Sequence[Step]) -> Rewrites:
        """See `Rephraser.shorten`."""
        return Rewrites([shorten_thought(step.thought, step.action) for step in steps])


_AT_A_TIME = 1024  # episodes in memory; between two such lots the last questions of the first are waited for
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
        rejected_steps: rewrites thrown away, the original kept.
        rejected: those, by reason.
        refused: why questions were refused, once per episode that lacks their answers.
        words_before, words_after: words in the thoughts of all desirable episodes.
    """

    episodes: int
    changed_episodes: int
    steps: int
    changed_steps: int
    rejected_steps: int
    words_before: int
    words_after: int
    rejected: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def rephrase(
    trajectories: Iterable[Trajectory],
    rephraser: Rephraser,
    concurrency: int = 8,
    phrases: Sequence[str] = (),
    journal: Journal | None = None,
) -> tuple[list[Trajectory], RephraseReport]:
    """`rephrase_each` with the episodes in a list."""
    result: list[Trajectory] = []
    report = rephrase_each(trajectories, rephraser, result.append, concurrency, phrases, journal)
    return result, report


def rephrase_each(
    trajectories: Iterable[Trajectory],
    rephraser: Rephraser,
    take: Callable[[Trajectory], object],
    concurrency: int = 8,
    phrases: Sequence[str] = (),
    journal: Journal | None = None,
) -> RephraseReport:
    """Rewrite the thoughts of the desirable episodes; everything else is handed on as given.

    A rewrite is taken only if it is shorter, if the turn made of it reads back as that thought and the very same
    action, and if it names nothing that is neither in the old thought nor in the observation (see `Grounding`).
    Changed steps have `tokens` 0, to be counted anew; `rephrased` is set where a step changed.

    Args:
        trajectories: labelled episodes.
        rephraser: writes the thoughts.
        take: gets all episodes in the given order, some hundreds after they were read.
        concurrency: episodes in flight at a time.
        phrases: the environment's, which tell what an object is called (`TextEnv.phrases`).
        journal: episodes that it holds are not asked for; each answered one is added, unless it lost answers to
            refusals.

    Raises:
        DataError: the rephraser returned another number of thoughts than there are steps.
    """
    known: dict[str, list[str | None]] = {}
    if journal is not None:
        known |= journal.read(_thoughts_from_row)
    asking = _Asking(rephraser, concurrency, journal, known)
    judge = _Judge(Grounding(phrases))

    async def run() -> None:
        remaining = iter(trajectories)
        async with asking:
            while some := list(islice(remaining, _AT_A_TIME)):
                thoughts = await asking.ask([item for item in some if item.label is Label.DESIRABLE])
                for item in some:
                    take(judge.rewritten(item, thoughts[item.id]) if item.id in thoughts else item)

    run_async(run())
    return judge.report(asking.refused)


def _thoughts_from_row(row: dict[str, Any]) -> tuple[str, list[str | None]]:
    """An episode's id and thoughts, as `_Asking` notes them."""
    name, thoughts = row["id"], row["thoughts"]
    if not isinstance(name, str) or not isinstance(thoughts, list):
        raise TypeError("not an episode's id with a list of thoughts")
    if not all(thought is None or isinstance(thought, str) for thought in thoughts):
        raise TypeError("a thought that is no text")
    return name, thoughts


class _Asking:
    """Fetches thoughts from the journal or the rephraser, which is entered when it is needed first."""

    def __init__(
        self, rephraser: Rephraser, concurrency: int, journal: Journal | None, known: dict[str, list[str | None]]
    ) -> None:
        self.refused: list[str] = []
        self._rephraser, self._concurrency, self._journal, self._known = rephraser, concurrency, journal, known
        self._stack = AsyncExitStack()
        self._entered = False

    async def __aenter__(self) -> _Asking:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def ask(self, episodes: Sequence[Trajectory]) -> dict[str, list[str | None]]:
        """The thoughts for every episode; those that the journal has for another number of steps are asked anew."""
        known = {item.id: self._known.get(item.id, []) for item in episodes}
        left = [item for item in episodes if item.id not in self._known or len(known[item.id]) != len(item.steps)]
        if left and not self._entered and isinstance(self._rephraser, AbstractAsyncContextManager):
            await self._stack.enter_async_context(self._rephraser)
            self._entered = True
        answers = await map_limited(self._one, left, self._concurrency)
        found = {item.id: thoughts for item, thoughts in zip(left, answers, strict=True)}
        return known | found

    async def _one(self, item: Trajectory) -> list[str | None]:
        found = await self._rephraser.shorten(item.steps)
        if found.refused:
            self.refused.append(found.refused)
        elif self._journal is not None:
            self._journal.append({"id": item.id, "thoughts": found.thoughts})
        return found.thoughts


class _Judge:
    """Takes rewrites or throws them away, and counts both."""

    def __init__(self, grounding: Grounding) -> None:
        self._grounding = grounding
        self._episodes = self._changed_episodes = 0
        self._steps = self._changed_steps = 0
        self._words_before = self._words_after = 0
        self._rejected: Counter[str] = Counter()

    def rewritten(self, item: Trajectory, thoughts: Sequence[str | None]) -> Trajectory:
        """The episode with those of the new thoughts that are acceptable; the very same object without any."""
        if len(thoughts) != len(item.steps):
            raise DataError(
                f"rephraser: episode {item.id!r} has {len(item.steps)} steps, the rephraser returned {len(thoughts)} "
                "thoughts; it must return one for each step"
            )
        steps = tuple(self._step(step, thought) for step, thought in zip(item.steps, thoughts, strict=True))
        changed = sum(new is not old for new, old in zip(steps, item.steps, strict=True))
        self._episodes += 1
        self._changed_episodes += changed > 0
        self._steps += len(steps)
        self._changed_steps += changed
        self._words_before += _words(item.steps)
        self._words_after += _words(steps)
        return replace(item, steps=steps, rephrased=True) if changed else item

    def report(self, refused: list[str]) -> RephraseReport:
        """What was done so far."""
        return RephraseReport(
            episodes=self._episodes,
            changed_episodes=self._changed_episodes,
            steps=self._steps,
            changed_steps=self._changed_steps,
            rejected_steps=sum(self._rejected.values()),
            words_before=self._words_before,
            words_after=self._words_after,
            rejected=dict(self._rejected.most_common()),
            refused=refused,
        )

    def _step(self, step: Step, thought: str | None) -> Step:
        """The step with another thought; the very same object where the rewrite is not acceptable."""
        if thought == step.thought:
            return step
        fault = "no answer" if thought is None else self._fault(step, thought)
        if thought is None or fault:
            self._rejected[fault] += 1
            return step
        return replace(step, thought=thought, text=format_turn(thought, step.action), tokens=0)

    def _fault(self, step: Step, thought: str) -> str:
        """Why a rewrite cannot be taken; empty where it can."""
        text = format_turn(thought, step.action)
        if not thought.strip():
            return "empty"
        if len(thought) >= len(step.thought) or len(text) >= len(step.text):
            return "not shorter"
        try:
            turn = parse_turn(text)
        except FormatError:
            return "not one turn"
        if turn.thought != thought or turn.action != step.action:
            return "not one turn"
        if self._grounding.new_names(thought, step.thought, step.observation):
            return "names something new"
        return ""


def _words(steps: Sequence[Step]) -> int:
    return sum(len(step.thought.split()) for step in steps)
