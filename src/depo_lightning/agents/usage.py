"""What a model's answers cost, and proposals that say it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests answered by a language model, and the tokens that its server counted.

    Attributes:
        calls: answered requests.
        prompt_tokens: read by the model; those found in its server's cache included.
        completion_tokens: written by it.
        cached_tokens: of the prompt tokens, those that the server says it had in its cache.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def to_dict(self) -> dict[str, int]:
        """The counts as plain values."""
        return asdict(self)


def total(usages: Iterable[Usage]) -> Usage:
    """The sum of usages."""
    return sum(usages, Usage())


class Proposals(list[str]):
    """A teacher's turns, with what they cost.

    Attributes:
        usage: of all requests made for them.
        repaired: turns that could be read only after the teacher was asked again.
        dropped: answers that could not be read even then.
        refused: why a question for them was refused, so that they are fewer than they might be; else empty.
    """

    def __init__(self, texts: Iterable[str] = (), usage: Usage | None = None, repaired: int = 0, dropped: int = 0):
        super().__init__(texts)
        self.usage = usage or Usage()
        self.repaired = repaired
        self.dropped = dropped
        self.refused = ""
