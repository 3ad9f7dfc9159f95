"""Guesses of what the agent says next. A guess that is right saves a forward pass; a wrong one changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.trajectory import Step, Trajectory

_CONTEXTS = (8, 5, 3)  # tokens that must agree for a guess; the longest known context decides
_GUESSES = 8  # tokens at a time from the phrase book
DRAFTS = 3  # per task
_PHRASES = 200_000  # entries of the phrase book per length of context; about 40 MB


class PhraseBook:
    """What followed each short run of tokens when it was last said, in any episode.

    Agents repeat themselves, so most tokens of a turn follow from the few before it.

    Args:
        stops: tokens that end a turn.
    """

    def __init__(self, stops: Iterable[int]) -> None:
        self._stops = frozenset(stops)
        self._next: list[dict[tuple[int, ...], int]] = [{} for _ in _CONTEXTS]

    def learn(self, ids: Sequence[int], start: int) -> None:
        """Note the tokens from `start` on, each with what stands before it."""
        for length, known in zip(_CONTEXTS, self._next, strict=True):
            if len(known) > _PHRASES:
                known.clear()
            for end in range(max(start, length), len(ids)):
                known[tuple(ids[end - length : end])] = ids[end]

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
        for length, known in zip(_CONTEXTS, self._next, strict=True):
            token = known.get(tuple(context[-length:]))
            if token is not None:
                return token
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
