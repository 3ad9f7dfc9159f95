"""Prompts as templates: `{name}` stands for a text that is filled in once and never read as a template itself."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def fill(template: str, **texts: object) -> str:
    """The template with `{name}` replaced by `texts[name]`.

    Braces in the texts, and names that are not given, stay as they are: an observation cannot smuggle one in.
    """
    return _PLACEHOLDER.sub(lambda found: str(texts.get(found[1], found[0])), template)


def placeholders(template: str) -> set[str]:
    """The names in a template."""
    return set(_PLACEHOLDER.findall(template))
