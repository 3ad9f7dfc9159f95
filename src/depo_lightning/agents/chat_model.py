"""What teachers and rephrasers ask: a language model behind a conversation, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Protocol

from depo_lightning.agents.usage import Usage

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One continuation of a conversation.

    Attributes:
        complete: False where the limit of tokens cut it off.
        fault: why it is none, such as a filter that stopped it; its text is empty then.
    """

    text: str
    complete: bool = True
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers to one question. Fewer than asked for, or none, where the model's server refuses the question.

    Attributes:
        refused: why it was refused, in the server's words; empty where it was not.
        estimated: the server did not count its tokens; the usage is estimated from the texts, rather too high.
    """

    answers: tuple[Answer, ...]
    usage: Usage
    refused: str = ""
    estimated: bool = False


class ChatModel(Protocol):
    """A language model that continues conversations. An asynchronous context manager: ask only inside."""

    async def ask(self, messages: Messages, count: int, seed: int) -> Reply:
        """Draw `count` answers to a conversation.

        Args:
            messages: `role` and `content`; the last is the user's.
            count: answers wanted, drawn independently.
            seed: makes them repeatable as far as the model's server allows.

        Raises:
            DepoError: the model cannot be asked, now or at all; ends the run.
        """
        ...

    async def __aenter__(self) -> ChatModel: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2³¹) that depends on all parts; servers differ in whether they take more bits."""
    return Random("/".join(map(str, parts))).getrandbits(31)
