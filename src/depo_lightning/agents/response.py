"""Reading what a chat endpoint sent: nothing of it is believed until it has been looked at."""

from __future__ import annotations

import json
from typing import Any

from depo_lightning.agents.chat_model import Answer, Messages, Reply
from depo_lightning.agents.http_client import is_text, read_json
from depo_lightning.agents.http_key import told
from depo_lightning.agents.usage import Usage

_CUT_OFF = ("length", "max_tokens", "model_length")
_WHOLE = ("stop", "eos", "eos_token", "end_turn", "stop_sequence")  # servers differ; some say nothing
_BYTES_PER_TOKEN = 3  # fewer than in common text of any script
_TEMPLATE_TOKENS = 16  # that a chat template may add to a message


class BadResponse(Exception):
    """A response that is no answer; the message is the kind of fault."""


def read_reply(body: str, asked: Messages = ()) -> Reply:
    """The answers in the body of a chat completion.

    Args:
        body: as it came.
        asked: the question; tokens are estimated from it where the server does not count them.

    Raises:
        BadResponse: no JSON, or JSON of another shape, as a proxy or an overloaded server sends it.
    """
    try:
        data = read_json(body)
    except ValueError as error:
        raise BadResponse("malformed JSON") from error
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices:
        raise BadResponse("no choices in the answer")
    answers = tuple(_answer(choice) for choice in choices)
    usage = _usage(data.get("usage"))
    if usage is None:
        written = sum(_estimate(choice["message"]) for choice in choices)
        return Reply(answers, Usage(1, sum(map(_estimate, asked)), written), estimated=True)
    return Reply(answers, usage)


def _answer(choice: Any) -> Answer:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise BadResponse("no message in the answer")
    content = message.get("content")
    if content is not None and not is_text(content):
        raise BadResponse("content that is no text")
    reason = str(choice.get("finish_reason") or "stop").lower()
    if reason not in (*_WHOLE, *_CUT_OFF):  # "content_filter", "error", "tool_calls": the text is no whole answer
        return Answer("", complete=False, fault=f"finish_reason {told(reason, None)[:40]}")
    return Answer(content or "", complete=reason in _WHOLE)


def _estimate(message: Any) -> int:
    """Tokens of a message with all its fields, rather too many."""
    return _TEMPLATE_TOKENS + len(json.dumps(message, ensure_ascii=False).encode(errors="replace")) // _BYTES_PER_TOKEN


def _usage(row: Any) -> Usage | None:
    """The server's count; None where there is none of both what was read and what was written."""
    if not isinstance(row, dict) or not isinstance(row.get("completion_tokens"), int):
        return None
    asked, written = _count(row.get("prompt_tokens")), _count(row["completion_tokens"])
    details = row.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    return Usage(1, asked, written, min(cached, asked)) if asked else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def error_text(body: str, secret: str | None = None) -> str:
    """What a server says about an error, in one line of at most 300 characters, the secret replaced by stars."""
    try:
        data = read_json(body)
    except ValueError:
        data = None
    found: Any = data
    for name in ("error", "message"):
        if isinstance(found, dict):
            found = found.get(name, found.get("detail", found))
    return told(found if isinstance(found, str) else body, secret)


def error_code(body: str) -> str:
    """The `code` (else `type`) of a server's error, where it gives one."""
    try:
        error = read_json(body)["error"]
        return str(error.get("code") or error.get("type") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
