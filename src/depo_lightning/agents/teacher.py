"""Teachers: policies that propose agent turns for the search to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Protocol

from depo_lightning.agents.babyai_policy import Move, Why, best_move, current_task, wasteful_moves
from depo_lightning.agents.babyai_text import Situation, read_situation
from depo_lightning.agents.react import format_turn
from depo_lightning.agents.wording import is_verbose, thought_for
from depo_lightning.errors import ConfigError

DRAWS_PER_PROPOSAL = 4  # duplicates are drawn again, at most so often
_UNLISTED = 0.2  # share of noisy moves whose action is not on offer


class Teacher(Protocol):
    """A policy that turns a conversation into agent turns."""

    async def propose(self, messages: Sequence[Mapping[str, str]], k: int, seed: int) -> list[str]:
        """Propose what the agent may say next.

        Args:
            messages: the chat so far (`role`, `content`); the last message is an observation.
            k: number of proposals wanted.
            seed: makes the proposals repeatable, where the policy allows it.

        Returns:
            At most `k` distinct turns, in full (thought and action), best guess first or in no order.
        """
        ...


@dataclass(frozen=True)
class ScriptedTeacher:
    """A competent, imperfect BabyAI player that reads nothing but the conversation.

    Each proposal is drawn on its own: with probability `noise` a random action, else with probability `detour` a
    possible but wasteful one, else the best the script knows. Its thought is verbose with probability `verbosity`;
    a turn keeps the style of the turn before it with probability `style_persistence`, so that whole branches of
    a search differ in tokens per step.

    Raises:
        ConfigError: a probability outside [0, 1], or noise + detour above 1.
    """

    noise: float = 0.05
    detour: float = 0.2
    verbosity: float = 0.5
    style_persistence: float = 0.9

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        faults = [
            f"teacher.{name}={value!r}: a probability lies in [0, 1]; choose one"
            for name, value in values.items()
            if not 0 <= value <= 1
        ]
        if not faults and self.noise + self.detour > 1:
            faults.append(f"teacher.noise + teacher.detour = {self.noise + self.detour}: at most 1; lower one of them")
        if faults:
            raise ConfigError(faults)

    async def propose(self, messages: Sequence[Mapping[str, str]], k: int, seed: int) -> list[str]:
        """Up to `k` distinct turns; the same messages, k and seed give the same turns. See `Teacher.propose`."""
        situation = read_situation(messages)
        rng = Random(f"{seed}/{k}/{len(messages)}/{messages[-1]['content']}")
        best = best_move(situation)
        task = current_task(situation)
        target = task.target.words if task else "object"
        proposals: dict[str, None] = {}  # keeps the order of drawing
        for _ in range(k * DRAWS_PER_PROPOSAL):
            if len(proposals) == k:
                break
            move = self._draw(situation, best, rng)
            thought = thought_for(situation, move, target, self._verbose(situation, rng), rng)
            proposals[format_turn(thought, move.action)] = None
        return list(proposals)

    def _draw(self, situation: Situation, best: Move, rng: Random) -> Move:
        chance = rng.random()
        if chance < self.noise:
            return _random_move(situation, rng)
        if chance < self.noise + self.detour:
            others = wasteful_moves(situation, best)
            if others:
                return rng.choice(others)
        return best

    def _verbose(self, situation: Situation, rng: Random) -> bool:
        if situation.past and rng.random() < self.style_persistence:
            return is_verbose(situation.last_thought)
        return rng.random() < self.verbosity


def _random_move(situation: Situation, rng: Random) -> Move:
    """An action on offer, or one that was never offered, as an unsure model writes it."""
    if rng.random() < _UNLISTED or not situation.actions:
        task = current_task(situation)
        return Move(f"go to {task.target.words if task else 'object'} {rng.randint(1, 2)}", Why.ASIDE)
    return Move(rng.choice(situation.actions), Why.ASIDE)
