"""Prompts as templates: `{name}` stands for a text that is filled in once and never read as a template itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Exchange:
    """An example that a conversation begins with: what the user says, and how the assistant answers."""

    user: str
    assistant: str


def shown(examples: Iterable[Exchange]) -> list[dict[str, str]]:
    """Examples as messages. Nothing is filled in: they are texts, not templates."""
    return [
        {"role": role, "content": text}
        for example in examples
        for role, text in (("user", example.user), ("assistant", example.assistant))
    ]


def fill(template: str, **texts: object) -> str:
    """The template with `{name}` replaced by `texts[name]`.

    Braces in the texts, and names that are not given, stay as they are: an observation cannot smuggle one in.
    """
    return _PLACEHOLDER.sub(lambda found: str(texts.get(found[1], found[0])), template)


def placeholders(template: str) -> set[str]:
    """The names in a template."""
    return set(_PLACEHOLDER.findall(template))
