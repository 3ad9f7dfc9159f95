"""Guesses of what the agent says next. A guess that is right saves a forward pass; a wrong one changes nothing."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.trajectory import Step, Trajectory

_CONTEXTS = (8, 5, 3)  # tokens that must agree for a guess; the longest known context decides
_GUESSES = 8  # tokens at a time from the phrase book
DRAFTS = 3  # per task
_PLACES = 2**18  # of the phrase book, for each length of context; 12 bytes each


class PhraseBook:
    """What followed each short run of tokens when it was last said, in any episode.

    Agents repeat themselves, so most tokens of a turn follow from the few before it. Each run has one place, by its
    hash, so that the book never grows; of two runs that share a place it knows the later one.

    Args:
        stops: tokens that end a turn.
    """

    def __init__(self, stops: Iterable[int]) -> None:
        self._stops = frozenset(stops)
        self._runs = [array("q", [0]) * _PLACES for _ in _CONTEXTS]
        self._next = [array("i", [0]) * _PLACES for _ in _CONTEXTS]

    def learn(self, ids: Sequence[int], start: int) -> None:
        """Note the tokens from `start` on, each with what stands before it."""
        for length, runs, following in zip(_CONTEXTS, self._runs, self._next, strict=True):
            for end in range(max(start, length), len(ids)):
                run = hash(tuple(ids[end - length : end]))
                runs[run % _PLACES], following[run % _PLACES] = run, ids[end]

    def guess(self, ids: Sequence[int]) -> list[int]:
        """Tokens that may follow `ids`, up to the end of the turn."""
        context = list(ids[-_CONTEXTS[0] :])
        have = len(context)
        while len(context) < have + _GUESSES:
            token = self._after(context)
            if token is None:
                break
            context.append(token)
            if token in self._stops:
                break
        return context[have:]

    def _after(self, context: list[int]) -> int | None:
        for length, runs, following in zip(_CONTEXTS, self._runs, self._next, strict=True):
            run = hash(tuple(context[-length:]))
            if runs[run % _PLACES] == run:
                return following[run % _PLACES]
        return None


class Drafts:
    """Earlier episodes, by any policies, whose turns are offered where an episode meets the same observation.

    The noise of an episode is common to all policies, so policies that are near each other say much the same.

    Args:
        episodes: likeliest first, where several are of one task; at most `DRAFTS` of them are kept.
    """

    def __init__(self, episodes: Iterable[Trajectory], renderer: ChatRenderer) -> None:
        self._steps: dict[tuple[str, int], list[tuple[Step, ...]]] = {}
        for episode in episodes:
            known = self._steps.setdefault((episode.env, episode.task), [])
            if len(known) < DRAFTS:
                known.append(episode.steps)
        self._renderer = renderer

    def turns(self, origin: tuple[str, int], index: int, observation: str) -> list[list[int]]:
        """What turn `index` may be: ids, end-of-turn token included, of each draft that fits.

        Args:
            origin: environment and task of the episode, as in its record.
            index: of the turn, from 0.
            observation: that it answers.
        """
        texts = [
            steps[index].text
            for steps in self._steps.get(origin, ())
            if index < len(steps) and steps[index].observation == observation
        ]
        return [self._renderer.turn_ids(text) for text in dict.fromkeys(texts)]
