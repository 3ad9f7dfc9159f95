"""Fields of WebShop's records, checked: a wrong type is told where it stands, not where it first hurts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 60  # characters of a faulty value


class FieldFault(Exception):
    """A field that is missing or of the wrong type; the message names it, what it holds and what is expected."""


def entry(value: Any, what: str) -> Mapping[str, Any]:
    """A JSON object."""
    return _checked(value, isinstance(value, Mapping), what, "an object")


def entries(value: Any, what: str) -> list[Any]:
    """A JSON list."""
    return _checked(value, isinstance(value, list), what, "a list")


def text(record: Mapping[str, Any], name: str) -> str:
    """The text `name` of a record; "" where it is null."""
    value = _field(record, name)
    return "" if value is None else _checked(value, isinstance(value, str), f"field {name!r}", "a text")


def texts(record: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The list of texts `name` of a record."""
    value = _field(record, name)
    proper = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return tuple(_checked(value, proper, f"field {name!r}", "a list of texts"))


def _field(record: Mapping[str, Any], name: str) -> Any:
    if name not in record:
        raise FieldFault(f"no field {name!r}")
    return record[name]


def _checked(value: Any, proper: bool, what: str, expected: str) -> Any:
    if not proper:
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        raise FieldFault(f"{what} is {shown}; expected {expected}")
    return value
