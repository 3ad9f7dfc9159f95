"""A teacher that is a language model: the conversation goes to it, and what it says is played if it can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from depo_lightning.agents.chat_model import Answer, ChatModel, derived_seed
from depo_lightning.agents.prompts import Exchange, fill, shown
from depo_lightning.agents.react import FormatError, action_end, parse_turn
from depo_lightning.agents.usage import Proposals

_NOTHING = "…"  # stands for an empty answer in the conversation, which servers do not take


@dataclass(frozen=True, slots=True)
class TeacherPrompts:
    """What a teacher is told besides the conversation. Texts are configuration, see `conf/prompts/`.

    Attributes:
        system: with `{instructions}`, the environment's own.
        repair: answers a turn that cannot be read.
        distinct: follows the observation where turns are proposed already; with `{earlier}`, their actions.
        examples: exchanges that the conversation begins with, in this order; a model that does not keep to a format
            it is told often keeps to one it is shown.
    """

    system: str
    repair: str
    distinct: str
    examples: tuple[Exchange, ...] = ()


class LLMTeacher:
    """Proposes turns by asking a chat model. An asynchronous context manager, as the model is.

    A turn has exactly one `Action:` with something behind it, and is complete. Any other is answered once with the
    repair prompt, then dropped. What follows the action's line is cut off, as a stop sequence would.

    Args:
        model: answers.
        prompts: what it is told.
        distinct: ask for turns one after another, each with another action than those before, instead of drawing
            them independently.
    """

    def __init__(self, model: ChatModel, prompts: TeacherPrompts, distinct: bool = False) -> None:
        self.model, self.prompts, self.distinct = model, prompts, distinct

    async def __aenter__(self) -> LLMTeacher:
        await self.model.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.model.__aexit__(kind, error, trace)

    async def propose(self, messages: Sequence[Mapping[str, str]], k: int, seed: int) -> Proposals:
        """See `Teacher.propose`; the proposals say what they cost."""
        chat = self._chat(messages)
        return await (self._distinct(chat, k, seed) if self.distinct else self._samples(chat, k, seed))

    async def _samples(self, chat: list[Mapping[str, str]], k: int, seed: int) -> Proposals:
        reply = await self.model.ask(chat, k, seed)
        found = Proposals(usage=reply.usage)
        found.refused = reply.refused
        for index, answer in enumerate(reply.answers):
            await self._take(chat, answer, derived_seed(seed, index, "repair"), found)
        return found

    async def _distinct(self, chat: list[Mapping[str, str]], k: int, seed: int) -> Proposals:
        found = Proposals()
        for index in range(k):
            earlier = "\n".join(f"- {parse_turn(text).action}" for text in found)
            note = fill(self.prompts.distinct, earlier=earlier)
            asked = [*chat[:-1], {**chat[-1], "content": f"{chat[-1]['content']}\n\n{note}"}] if earlier else chat
            reply = await self.model.ask(asked, 1, derived_seed(seed, index))
            found.usage += reply.usage
            found.refused = found.refused or reply.refused
            known = {parse_turn(text).action for text in found}
            for answer in reply.answers:
                await self._take(asked, answer, derived_seed(seed, index, "repair"), found)
            if found and len(found) > len(known) and parse_turn(found[-1]).action in known:
                found.pop()
        return found

    async def _take(self, chat: list[Mapping[str, str]], answer: Answer, seed: int, found: Proposals) -> None:
        """Add the answer's turn, if need be after asking once more."""
        turn = readable_turn(answer)
        if turn is None:
            said = {"role": "assistant", "content": answer.text.strip() or _NOTHING}
            again = [*chat, said, {"role": "user", "content": self.prompts.repair}]
            reply = await self.model.ask(again, 1, seed)
            found.usage += reply.usage
            found.refused = found.refused or reply.refused
            turn = next((text for text in map(readable_turn, reply.answers) if text is not None), None)
            if turn is None:
                found.dropped += 1
                return
            found.repaired += 1
        found.append(turn)

    def _chat(self, messages: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
        own = messages[0]["content"] if messages[0]["role"] == "system" else ""
        system = fill(self.prompts.system, instructions=own).strip()
        rest = [message for message in messages if message["role"] != "system"]
        told = [{"role": "system", "content": system}] if system else []
        return [*told, *shown(self.prompts.examples), *rest]


def readable_turn(answer: Answer) -> str | None:
    """The one turn in an answer, from its start to the end of its action's line; None if there is not one."""
    try:
        turn = parse_turn(answer.text)
    except FormatError:
        return None
    if not turn.action:
        return None
    end = action_end(answer.text)
    if not answer.complete and "\n" not in answer.text[end:]:
        return None  # cut off within the action, perhaps
    return answer.text[:end].strip()
