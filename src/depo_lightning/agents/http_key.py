"""Keys of servers: where one is read, what makes it useless, and how a server's words are told without it."""

from __future__ import annotations

import os
import re

_SHOWN = 300  # characters of a server's own words
_SENDABLE = re.compile(r"[!-~]+")  # an HTTP header takes no other; the client's message would quote the key


def read_key(name: str | None) -> str | None:
    """The key in the environment variable `name`, without blanks and line ends around it; None where there is none."""
    return (os.environ.get(name, "").strip() or None) if name is not None else None


def key_fault(field: str, name: str | None) -> str | None:
    """What keeps the key in the environment variable `name` from being sent; never shows the key.

    Args:
        field: of the configuration, which holds `name`.
        name: None for a server that wants no key.
    """
    key = read_key(name)
    if name is not None and key is None:
        return (
            f"{field}={name}: this environment variable is not set, or blank; export {name}=…, or write {field}=null "
            "for a server that wants no key"
        )
    if key is not None and not _SENDABLE.fullmatch(key):
        return (
            f"{field}={name}: the key in this environment variable holds blanks, line ends or accents, which no HTTP "
            f"header takes (not shown here); export {name} anew"
        )
    return None


def told(words: object, key: str | None) -> str:
    """A server's or its client's words: in one line, short, and without the key, which some servers repeat."""
    line = " ".join(str(words).encode(errors="replace").decode().split())
    return (line.replace(key, "***") if key else line)[:_SHOWN]
