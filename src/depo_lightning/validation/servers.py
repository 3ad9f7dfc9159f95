"""Addresses of servers, and the names of the variables that hold their keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from depo_lightning.validation.rules import ENV_NAME, KEYLESS, NOT_THE_KEY


def address_faults(section: str, url: str) -> Iterator[str]:
    """Faults of a base URL; one that may hold a secret is in no message, log or file but where it was written."""
    sound = _is_address(url)
    where = f"{section}.api_key_env names where one is"
    if "@" in (urlsplit(url).netloc if sound else url):
        yield f"{section}.base_url: holds a user or password; {KEYLESS}; {where}"
    elif re.search(r"[?#]", url):
        yield f"{section}.base_url: holds a query or fragment, which would stand before the rest; {KEYLESS}; {where}"
    elif not sound:
        yield (
            f"{section}.base_url={url!r}: must be an http or https URL with a host and, if any, a port up to 65535, "
            "such as http://127.0.0.1:8000/v1"
        )


def key_name_faults(section: str, name: str | None) -> Iterator[str]:
    """What is no name of a variable may be the key itself, and is not repeated."""
    if name is not None and not ENV_NAME.fullmatch(name):
        yield f"{section}.api_key_env: must be the name of an environment variable {NOT_THE_KEY}"


def _is_address(url: str) -> bool:
    """Whether an HTTP client takes it."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", url)
        )
    except ValueError:  # a port above 65535, brackets that do not close
        return False
