"""What the generated shop is made of, read from the YAML files beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_BRAND_STARTS = "Alder Bren Cora Dun El Fenn Gal Hart Ister Jun Kel Lor Mira Nor Oak Pell Quin Rav Sil Tam Ulm Vey Wick"
_BRAND_ENDS = "bridge dale en ford gate hill ia kin line mont nest o port quist row stone ton vale well wood"
BRANDS = tuple(start + end for start in _BRAND_STARTS.split() for end in _BRAND_ENDS.split())


@dataclass(frozen=True, slots=True)
class Attribute:
    """How one attribute is asked for: after `place` ("is", "with", "for", "of"), by its name or in `other` words."""

    name: str
    place: str
    other: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of product; `kinds.yaml` explains the fields."""

    say: str
    lead: str
    also: tuple[str, ...]
    category: str
    query: str
    path: str
    price: tuple[float, float]
    attributes: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    words: tuple[str, ...]


@cache
def attributes() -> Mapping[str, Attribute]:
    """All attributes by name."""
    return {name: Attribute(name, place, tuple(other)) for name, (place, *other) in _read("attributes.yaml").items()}


@cache
def kinds() -> tuple[Kind, ...]:
    """All kinds of product, in the order of the file."""
    return tuple(Kind(**{name: _frozen(value) for name, value in kind.items()}) for kind in _read("kinds.yaml"))


def _read(name: str) -> Any:
    return yaml.safe_load((files(__package__) / name).read_text(encoding="utf-8"))


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: tuple(values) for name, values in value.items()}
    return tuple(value) if isinstance(value, list) else value
