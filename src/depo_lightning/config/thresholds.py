"""Group `thresholds`: what makes an episode desirable or undesirable."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING


@dataclass
class ThresholdsConfig:
    """The bounds on sizes hold for each environment, where there are several."""

    kind: str = MISSING
    max_desirable: int | None = None  # seeded subsample; null keeps all
    max_undesirable: int | None = None
    balanced: bool = False  # keep as many of one label as of the other
    fraction: float = 1.0  # of what is left: for sample efficiency; smaller shares are subsets of larger ones
    seed: int = 0


@dataclass
class AbsoluteThresholds(ThresholdsConfig):
    """DEPO, Eq. 3: r ≥ κ0 is desirable, κ2 ≤ r < κ1 undesirable, the rest is dropped."""

    kind: str = "absolute"
    kappa0: float = MISSING
    kappa1: float = MISSING
    kappa2: float = MISSING
    step_cut: int | None = None  # desirable needs fewer steps, undesirable at least as many


@dataclass
class RelativeThresholds(ThresholdsConfig):
    """Cheapest and dearest episodes of the same task."""

    kind: str = "relative"
    desirable_fraction: float = 1 / 3
    undesirable_fraction: float = 1 / 3
    include_failures: bool = True
    min_successes: int = 2
    token_weight: float = 1.0
    step_weight: float = 0.0


@dataclass
class MixtureThresholds(ThresholdsConfig):
    """Rules of its own, bounds included, for each environment of a mixture; the bounds above hold besides."""

    kind: str = "mixture"
    parts: dict[str, ThresholdsConfig] = field(default_factory=dict)  # by the environments' names


SCHEMAS = (
    ("thresholds", "absolute_schema", AbsoluteThresholds),
    ("thresholds", "relative_schema", RelativeThresholds),
    ("thresholds", "mixture_schema", MixtureThresholds),
)
