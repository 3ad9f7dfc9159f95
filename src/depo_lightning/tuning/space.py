"""Hydra's override grammar as an Optuna search space, and back: sampled values as override strings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Sweep, Transformer
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from depo_lightning.errors import ConfigError

GRAMMAR = (
    "write a choice a,b,c or choice(a,b,c), range(start,stop,step), interval(low,high), int(interval(low,high)) "
    "or tag(log,interval(low,high))"
)


@dataclass(frozen=True)
class Parameter:
    """One searched key.

    Attributes:
        key: as in an override, with its `+` or `++`.
        distribution: Optuna's.
        texts: for a choice, category → the override's value, quoted as Hydra needs it.
    """

    key: str
    distribution: BaseDistribution
    texts: Mapping[Any, str] = field(default_factory=dict)

    def override(self, value: Any) -> str:
        """`key=value` for a sampled value."""
        return f"{self.key}={self.texts[value] if self.texts else value}"

    @property
    def grid(self) -> list[Any] | None:
        """All values, in order; None for a continuous parameter."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return list(d.choices)
        assert isinstance(d, FloatDistribution | IntDistribution)
        if d.step is None or (isinstance(d, IntDistribution) and d.log):
            return None
        return [d.low + i * d.step for i in range(round((d.high - d.low) / d.step) + 1)]


@dataclass(frozen=True)
class Space:
    """What a sweep varies and what it holds fixed.

    Attributes:
        parameters: name → parameter, in the order they were given.
        replicates: override strings, each a repetition of every trial; empty for one run per trial.
        fixed: override strings of every job.
    """

    parameters: dict[str, Parameter]
    replicates: list[str]
    fixed: list[str]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return {name: parameter.distribution for name, parameter in self.parameters.items()}

    def overrides(self, values: Mapping[str, Any]) -> list[list[str]]:
        """The override strings of each job of a trial with these parameters."""
        chosen = [parameter.override(values[name]) for name, parameter in self.parameters.items()]
        return [[*self.fixed, *chosen, *([repeat] if repeat else [])] for repeat in self.replicates or [""]]


def parse_space(
    params: Mapping[str, Any], arguments: Sequence[str], replicate: str | None, loader: ConfigLoader | None = None
) -> Space:
    """Read `hydra.sweeper.params` and the command line; of two overrides of one key the later wins.

    Args:
        params: key → override value, as text or plain value.
        arguments: override strings of the command line.
        replicate: key whose values are repetitions.
        loader: of Hydra, for `glob()`.

    Raises:
        ConfigError: all faults at once.
    """
    faults: list[str] = []
    latest: dict[str, Override] = {}
    parser = OverridesParser.create(config_loader=loader)
    for line in [*(f"{key}={_text(value)}" for key, value in params.items()), *arguments]:
        try:
            override = parser.parse_overrides([line])[0]
        except HydraException as error:
            faults.append(f"{line}: {str(error).splitlines()[0]}; {GRAMMAR}")
            continue
        latest[override.key_or_group] = override
    parameters: dict[str, Parameter] = {}
    replicates: list[str] = []
    fixed: list[str] = []
    for name, override in latest.items():
        try:
            if not override.is_sweep_override():
                fixed.append(_fixed(override))
            elif name == replicate and override.is_discrete_sweep():
                key = override.get_key_element()
                replicates = list(dict.fromkeys(f"{key}={text}" for text in override.sweep_string_iterator()))
            else:
                parameters[name] = _parameter(override)
        except ValueError as error:
            faults.append(f"{override.input_line}: {error}")
    if faults:
        raise ConfigError(faults)
    return Space(parameters, replicates, fixed)


def _text(value: Any) -> str:
    """A YAML value as an override's: a list is a choice, as a comma is on the command line."""
    if isinstance(value, list):
        return f"choice({','.join(map(Override._get_value_element_as_str, value))})"
    return value if isinstance(value, str) else Override._get_value_element_as_str(value)


def _fixed(override: Override) -> str:
    if override.is_delete():
        return str(override.input_line)
    return f"{override.get_key_element()}={override.get_value_element_as_str()}"


def _parameter(override: Override) -> Parameter:
    key, value = override.get_key_element(), override.value()
    log = isinstance(value, Sweep) and "log" in value.tags
    if isinstance(value, Sweep) and (unknown := value.tags - {"log"}):
        raise ValueError(f"unknown tag {sorted(unknown)}; the only tag is log")
    if isinstance(value, IntervalSweep):
        return Parameter(key, _interval(value, log))
    if isinstance(value, RangeSweep) and not value.shuffle:
        return Parameter(key, _range(value, log))
    if log:
        raise ValueError("a choice has no scale; use tag(log,…) with an interval")
    return _choice(key, override)


def _interval(value: IntervalSweep, log: bool) -> BaseDistribution:
    low, high = value.start, value.end
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError("an interval needs two finite numbers, the lower first")
    if log and low <= 0:
        raise ValueError("a log scale needs a lower end above 0")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _range(value: RangeSweep, log: bool) -> BaseDistribution:
    values = list(value.range())
    if log:
        raise ValueError("a range has steps and no log scale; use tag(log,int(interval(low,high)))")
    if not values:
        raise ValueError("the range is empty: it runs from its start to below its stop")
    low, high = min(values[0], values[-1]), max(values[0], values[-1])
    if all(isinstance(v, int) for v in values):
        return IntDistribution(low, high, step=max(1, abs(int(value.step))))
    return FloatDistribution(low, high, step=abs(float(value.step)) if high > low else 1.0)


def _choice(key: str, override: Override) -> Parameter:
    texts = list(dict.fromkeys(override.sweep_string_iterator()))
    plain = dict(zip(override.sweep_string_iterator(), override.sweep_iterator(Transformer.identity), strict=True))
    if not texts:
        raise ValueError("the choice is empty; name at least one value")
    if any(isinstance(value, float) and not math.isfinite(value) for value in plain.values()):
        raise ValueError("nan and inf are no choices; quote them if they are words")
    # Numbers and words are themselves in the study; what Optuna cannot hold (lists, quoted text) is its text.
    categories: list[Any] = [plain[t] if isinstance(plain[t], bool | int | float | str | None) else t for t in texts]
    if len(set(map(repr, categories))) != len(set(categories)):  # 1, True and 1.0 are one key of a dictionary
        categories = list(texts)
    return Parameter(key, CategoricalDistribution(categories), dict(zip(categories, texts, strict=True)))
