"""Reading what a chat endpoint sent: nothing of it is believed until it has been looked at."""

from __future__ import annotations

import json
from typing import Any

from depo_lightning.agents.chat_model import Answer, Reply
from depo_lightning.agents.usage import Usage


class BadResponse(Exception):
    """A response that is no answer; the message is the kind of fault."""


def read_reply(body: str) -> Reply:
    """The answers in the body of a chat completion.

    Raises:
        BadResponse: no JSON, or JSON of another shape, as a proxy or an overloaded server sends it.
    """
    try:
        data = json.loads(body)
    except ValueError as error:
        raise BadResponse("malformed JSON") from error
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices:
        raise BadResponse("no choices in the answer")
    return Reply(tuple(_answer(choice) for choice in choices), _usage(data.get("usage")))


def _answer(choice: Any) -> Answer:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise BadResponse("no message in the answer")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise BadResponse("content that is no text")
    return Answer(content or "", complete=choice.get("finish_reason") != "length")


def _usage(row: Any) -> Usage:
    if not isinstance(row, dict):
        return Usage(calls=1)
    details = row.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(1, _count(row.get("prompt_tokens")), _count(row.get("completion_tokens")), _count(cached))


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def error_text(body: str) -> str:
    """What a server says about an error, in one line of at most 300 characters."""
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    found: Any = data
    for name in ("error", "message"):
        if isinstance(found, dict):
            found = found.get(name, found.get("detail", found))
    text = found if isinstance(found, str) else body
    return " ".join(text.split())[:300]


def error_code(body: str) -> str:
    """The `code` (else `type`) of a server's error, where it gives one."""
    try:
        error = json.loads(body)["error"]
        return str(error.get("code") or error.get("type") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
