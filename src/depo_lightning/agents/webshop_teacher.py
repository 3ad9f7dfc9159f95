"""The scripted teacher for WebShop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from depo_lightning.agents.react import format_turn
from depo_lightning.agents.teacher import DRAWS_PER_PROPOSAL, ScriptedTeacher
from depo_lightning.agents.webshop_policy import Move, best_move, possible_moves, wasteful_moves
from depo_lightning.agents.webshop_text import Situation, read_situation
from depo_lightning.agents.webshop_wording import thought_for
from depo_lightning.agents.wording import is_verbose


@dataclass(frozen=True)
class WebShopTeacher(ScriptedTeacher):
    """A competent, imperfect buyer that reads nothing but the conversation.

    The fields mean what they mean for BabyAI. A noisy move is anything the page offers, buying too early among it; a
    detour looks at more results, at a product's pages or at another product.
    """

    async def propose(self, messages: Sequence[Mapping[str, str]], k: int, seed: int) -> list[str]:
        """Up to `k` distinct turns; the same messages, k and seed give the same turns. See `Teacher.propose`."""
        situation = read_situation(messages)
        rng = Random(f"{seed}/{k}/{len(messages)}/{messages[-1]['content']}")
        best = best_move(situation)
        proposals: dict[str, None] = {}  # keeps the order of drawing
        for _ in range(k * DRAWS_PER_PROPOSAL):
            if len(proposals) == k:
                break
            move = self._move(situation, best, rng)
            verbose = rng.random() < self.verbosity
            if situation.past and rng.random() < self.style_persistence:
                verbose = is_verbose(situation.last_thought)
            proposals[format_turn(thought_for(situation, move, verbose, rng), move.action)] = None
        return list(proposals)

    def _move(self, situation: Situation, best: Move, rng: Random) -> Move:
        chance = rng.random()
        if chance < self.noise:
            return rng.choice(possible_moves(situation))
        if chance < self.noise + self.detour:
            others = wasteful_moves(situation, best)
            if others:
                return rng.choice(others)
        return best
