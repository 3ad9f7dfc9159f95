"""Group `thresholds`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace

from depo_lightning.config import (
    AbsoluteThresholds,
    Config,
    MixtureConfig,
    MixtureThresholds,
    RelativeThresholds,
    ThresholdsConfig,
)
from depo_lightning.validation.rules import (
    COUNT,
    FRACTION,
    PROBABILITY,
    Rule,
    at_least,
    fraction,
    probability,
    rule_faults,
    seed,
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
KINDS = ("absolute", "relative", "mixture")
SEED_RULE: tuple[Rule, ...] = (("thresholds.seed", seed, "must be in [0, 2³²)"),)


def faults(config: Config) -> Iterator[str]:
    """What is wrong with the labels' rules."""
    thresholds = config.thresholds
    yield from _faults(thresholds)
    if isinstance(thresholds, MixtureThresholds):
        yield from _part_faults(thresholds, config)
    parts = config.env.parts if isinstance(config.env, MixtureConfig) else {}
    if isinstance(thresholds, AbsoluteThresholds) and len(parts) > 1 and config.search.trajectories is None:
        yield f"thresholds.kind=absolute: {one_for_all(parts)}"


def one_for_all(environments: Iterable[str]) -> str:
    """What is wrong with absolute bounds for several environments."""
    return (
        f"one set of bounds for {' and '.join(environments)}, whose rewards are not the same thing; write "
        "thresholds=relative, or a file of thresholds with rules for each, such as thresholds=babyai_webshop"
    )


def _part_faults(mixture: MixtureThresholds, config: Config) -> Iterator[str]:
    """What is wrong with the rules of a mixture's environments; their fields are named by their place."""
    for name, part in mixture.parts.items():
        place = f"thresholds.parts.{name}"
        for fault in (*_faults(part), *rule_faults(SimpleNamespace(thresholds=part), SEED_RULE)):
            yield fault.replace("thresholds.", f"{place}.")
        if isinstance(part, MixtureThresholds):
            yield f"{place}.kind=mixture: a mixture is no part of another; choose absolute or relative"
    played = list(config.env.parts) if isinstance(config.env, MixtureConfig) else [config.env.name]
    lacking = [name for name in played if name not in mixture.parts]
    if lacking and config.search.trajectories is None:
        yield (
            f"thresholds.parts: has no rules for {', '.join(lacking)}, which env plays; add them "
            "(conf/thresholds/babyai_webshop.yaml shows how), or write thresholds=relative"
        )


def _faults(thresholds: ThresholdsConfig) -> Iterator[str]:
    node = SimpleNamespace(thresholds=thresholds)
    yield from rule_faults(node, RULES)
    if thresholds.kind not in KINDS:
        yield f"thresholds.kind={thresholds.kind!r}: choose from {list(KINDS)}"
    for name in ("max_desirable", "max_undesirable"):
        if not at_least(1)(getattr(thresholds, name)):
            yield f"thresholds.{name}={getattr(thresholds, name)}: must be at least 1, or null for all"
    if isinstance(thresholds, AbsoluteThresholds):
        yield from rule_faults(node, ABSOLUTE_RULES)
        if not thresholds.kappa2 <= thresholds.kappa1 <= thresholds.kappa0:
            yield (
                f"thresholds.kappa2={thresholds.kappa2}, kappa1={thresholds.kappa1}, kappa0={thresholds.kappa0}: "
                "must rise, kappa2 ≤ kappa1 ≤ kappa0 (DEPO, Eq. 3), or a trajectory could be D and U at once"
            )
    if isinstance(thresholds, RelativeThresholds):
        yield from rule_faults(node, RELATIVE_RULES)
        if thresholds.desirable_fraction + thresholds.undesirable_fraction > 1:
            yield (
                f"thresholds.desirable_fraction={thresholds.desirable_fraction}, "
                f"undesirable_fraction={thresholds.undesirable_fraction}: their sum must be at most 1"
            )
        if thresholds.token_weight == 0 and thresholds.step_weight == 0:
            yield "thresholds.token_weight=0, step_weight=0: one must be positive, or every episode costs the same"
