"""The official client of OpenAI-compatible servers, and the bodies they send: what teachers and rollouts share."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_NOISY = ("httpx", "httpx2", "openai")  # a line per request, in a log that is shared with others


def connect(base_url: str, key: str | None, timeout_s: float, retries: int = 0) -> AsyncOpenAI:
    """A client that writes no log and takes no key but this one.

    Args:
        base_url: up to and including `/v1`, where the server has that.
        key: None for a server that wants none; the client would then look for another server's.
        timeout_s: for one request.
        retries: the client's own, of requests that failed.

    Raises:
        ImportError: the package `openai` is not installed.
    """
    from openai import AsyncOpenAI

    for library in _NOISY:
        logging.getLogger(library).setLevel(logging.WARNING)
    return AsyncOpenAI(base_url=base_url, api_key=key or "none", timeout=timeout_s, max_retries=retries)


def read_json(body: str) -> Any:
    """The value in a body.

    Raises:
        ValueError: it is no JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_text(value: Any) -> bool:
    """Whether it is characters that a file takes: JSON may hold halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)
