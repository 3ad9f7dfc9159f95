"""A rephraser that is a language model: each thought of an episode goes to it on its own, with its action."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from depo_lightning.agents.chat_model import Answer, ChatModel, derived_seed
from depo_lightning.agents.prompts import Exchange, fill, shown
from depo_lightning.collect.aio import map_limited
from depo_lightning.collect.rephrase import Rewrites
from depo_lightning.trajectory import Step

_LEAD = re.compile(r"\s*(?:\*\*)?(?:shorter |new |rewritten )?thought(?:\*\*)?\s*:(?:\*\*)?\s*", re.IGNORECASE)
_QUOTES = ('""', "''", "``", "“”")
_AT_A_TIME = 64  # steps of an episode in flight; what is asked of a server at a time is its endpoint's affair


@dataclass(frozen=True, slots=True)
class RephraserPrompts:
    """What a rephraser is told. Texts are configuration, see `conf/prompts/`.

    Attributes:
        system: what to do, and what not.
        question: with `{thought}` and `{action}` of the step.
        examples: such questions, with good answers, that come before it.
    """

    system: str
    question: str
    examples: tuple[Exchange, ...] = ()


class LLMRephraser:
    """Asks a chat model for a shorter thought, step by step. Whether the answer is taken is decided elsewhere.

    An asynchronous context manager, as the model is.
    """

    def __init__(self, model: ChatModel, prompts: RephraserPrompts) -> None:
        self.model, self.prompts = model, prompts

    async def __aenter__(self) -> LLMRephraser:
        await self.model.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.model.__aexit__(kind, error, trace)

    async def shorten(self, steps: Sequence[Step]) -> Rewrites:
        """See `Rephraser.shorten`."""
        found = await map_limited(self._shorten, steps, _AT_A_TIME)
        refused = next((refused for _, refused in found if refused), "")
        return Rewrites([thought for thought, _ in found], refused)

    async def _shorten(self, step: Step) -> tuple[str | None, str]:
        """The thought, if there is one, and why the question was refused, if it was."""
        if not step.thought:
            return step.thought, ""
        messages = [
            {"role": "system", "content": self.prompts.system},
            *shown(self.prompts.examples),
            {"role": "user", "content": fill(self.prompts.question, thought=step.thought, action=step.action)},
        ]
        reply = await self.model.ask(messages, 1, derived_seed(step.thought, step.action))
        return next((thought for thought in map(_thought, reply.answers) if thought), None), reply.refused


def _thought(answer: Answer) -> str | None:
    """The thought in an answer, without the label and quotation marks that models like to add; None if cut off."""
    if not answer.complete:
        return None
    text = _LEAD.sub("", answer.text, count=1) if _LEAD.match(answer.text) else answer.text
    text = text.strip()
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip()
    return text
