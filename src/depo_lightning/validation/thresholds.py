"""Group `thresholds`."""

from __future__ import annotations

from collections.abc import Iterator

from depo_lightning.config import AbsoluteThresholds, Config, RelativeThresholds
from depo_lightning.validation.rules import (
    COUNT,
    FRACTION,
    PROBABILITY,
    Rule,
    at_least,
    fraction,
    probability,
    rule_faults,
)

RULES: tuple[Rule, ...] = (("thresholds.fraction", fraction, FRACTION),)
ABSOLUTE_RULES: tuple[Rule, ...] = (
    *((f"thresholds.{name}", probability, PROBABILITY) for name in ("kappa0", "kappa1", "kappa2")),
    ("thresholds.step_cut", at_least(1), COUNT),
)
_CLASSES = ("desirable", "undesirable")
RELATIVE_RULES: tuple[Rule, ...] = (
    *((f"thresholds.{name}_fraction", lambda value: 0 < value < 1, "must be in (0, 1)") for name in _CLASSES),
    ("thresholds.min_successes", at_least(1), COUNT),
    *((f"thresholds.{name}_weight", at_least(0), "must be 0 or more") for name in ("token", "step")),
)
KINDS = ("absolute", "relative")


def faults(config: Config) -> Iterator[str]:
    """What is wrong with the labels' rules."""
    thresholds = config.thresholds
    yield from rule_faults(config, RULES)
    if thresholds.kind not in KINDS:
        yield f"thresholds.kind={thresholds.kind!r}: choose from {list(KINDS)}"
    for name in ("max_desirable", "max_undesirable"):
        if not at_least(1)(getattr(thresholds, name)):
            yield f"thresholds.{name}={getattr(thresholds, name)}: must be at least 1, or null for all"
    if isinstance(thresholds, AbsoluteThresholds):
        yield from rule_faults(config, ABSOLUTE_RULES)
        if not thresholds.kappa2 <= thresholds.kappa1 <= thresholds.kappa0:
            yield (
                f"thresholds.kappa2={thresholds.kappa2}, kappa1={thresholds.kappa1}, kappa0={thresholds.kappa0}: "
                "must rise, kappa2 ≤ kappa1 ≤ kappa0 (DEPO, Eq. 3), or a trajectory could be D and U at once"
            )
    if isinstance(thresholds, RelativeThresholds):
        yield from rule_faults(config, RELATIVE_RULES)
        if thresholds.desirable_fraction + thresholds.undesirable_fraction > 1:
            yield (
                f"thresholds.desirable_fraction={thresholds.desirable_fraction}, "
                f"undesirable_fraction={thresholds.undesirable_fraction}: their sum must be at most 1"
            )
        if thresholds.token_weight == 0 and thresholds.step_weight == 0:
            yield "thresholds.token_weight=0, step_weight=0: one must be positive, or every episode costs the same"
