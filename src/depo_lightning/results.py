"""How `results.json` is laid out. Light: trackers read it too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def tables(results: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All entries by policy of a results dictionary, each with what stands before its metrics' names.

    The prefix is "" for all episodes, `webshop/` for those of an environment of several, `gsm8k/` for the answers to a
    set of questions. The configuration's checks see to it that no two of them, and no policy, have the same name.
    """
    yield "", results.get("policies", {})
    for group in ("environments", "questions"):
        for name, part in results.get(group, {}).items():
            yield f"{name}/", part["policies"]
