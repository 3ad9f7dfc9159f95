"""Rules on single fields: where, what must hold, and how it is said."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

Rule = tuple[str, Callable[[Any], bool], str]


def at_least(low: float) -> Callable[[Any], bool]:
    return lambda value: value is None or (math.isfinite(value) and value >= low)


def positive(value: Any) -> bool:
    return value is None or (math.isfinite(value) and value > 0)


def probability(value: float) -> bool:
    return 0 <= value <= 1


def seed(value: int) -> bool:
    return 0 <= value < 2**32


def fraction(value: float) -> bool:
    return 0 < value <= 1


ENV_NAME = re.compile(r"[A-Z][A-Z0-9_]*")  # of a variable that holds a key; what does not match may be the key itself
NOT_THE_KEY = "in capitals, digits and underscores, such as OPENAI_API_KEY, not the key itself"
KEYLESS = "remove it, as it may be a key"
SECRETS = (NOT_THE_KEY, KEYLESS)  # messages with one of these are about what Hydra has written down already
COUNT = "must be at least 1"
POSITIVE = "must be a positive number"
PROBABILITY = "must be in [0, 1]"
FRACTION = "must be in (0, 1]"


def rule_faults(config: Any, rules: Iterable[Rule]) -> Iterator[str]:
    for field, holds, rule in rules:
        value = attrgetter(field)(config)
        if not holds(value):
            yield f"{field}={value}: {rule}"
