"""What a server sends with status 200: nothing of it is believed until it has been looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from depo_lightning.agents.http_client import is_text, read_json


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said.

    Attributes:
        text: without special tokens.
        cut: the limit of tokens ended it, not the model.
        token_ids: what was generated, from servers that tell.
    """

    text: str
    cut: bool
    token_ids: Sequence[int] | None


class BadReply(Exception):
    """A body that is no answer, as proxies and overloaded servers send it; the message holds its beginning."""

    def __init__(self, fault: str, body: str) -> None:
        super().__init__(f"answered with {fault}: {body.strip() or 'nothing'}")


def read_reply(body: str) -> Reply:
    """The model's turn in the body of a chat completion.

    Raises:
        BadReply: no JSON, JSON of another shape, or a turn that neither the model nor the limit of tokens ended.
    """
    choices = _object(body).get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise BadReply("no choice", body)
    reason = choice.get("finish_reason")
    if reason not in ("stop", "length"):
        raise BadReply(f"finish_reason {reason!r}", body)
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else message
    if not isinstance(message, dict) or not (text is None or is_text(text)):
        raise BadReply("no text of a message", body)
    return Reply(text or "", reason == "length", _ids(choice.get("token_ids")))


def read_models(body: str) -> dict[str, int | None]:
    """Names of the models in a listing, each with the tokens it reads, where that is told.

    Raises:
        BadReply: no listing.
    """
    data = _object(body)
    listed = data.get("data", ())
    if not isinstance(listed, list | None):  # null: it has none
        raise BadReply("no list of models", body)
    models = {row["id"]: row for row in listed or () if isinstance(row, dict) and isinstance(row.get("id"), str)}

    def longest(name: Any) -> int | None:
        length = models[name].get("max_model_len") if isinstance(name, str) and name in models else None
        return length if isinstance(length, int) else None

    # An adapter reads what its base reads.
    return {name: longest(name) or longest(row.get("parent")) for name, row in models.items()}


def _object(body: str) -> dict[str, Any]:
    try:
        data = read_json(body)
    except ValueError as error:
        raise BadReply("what is no JSON", body) from error
    if not isinstance(data, dict):
        raise BadReply("no JSON object", body)
    return data


def _ids(value: Any) -> list[int] | None:
    return value if isinstance(value, list) and all(isinstance(item, int) for item in value) else None
