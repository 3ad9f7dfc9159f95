"""Checks across the whole configuration, before any work; every fault is reported, not only the first.

A module per group, or per few, each with `faults(config)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from depo_lightning import envs
from depo_lightning.choices import EfficiencyForm
from depo_lightning.config import STAGES, Config, LoggerKind, MixtureConfig, Policy
from depo_lightning.errors import ConfigError
from depo_lightning.validation import collection, evaluation, llm, models, rollouts, thresholds, training
from depo_lightning.validation.rules import Rule, at_least, rule_faults, seed

RULES: tuple[Rule, ...] = (
    ("alpha1", at_least(0), "must be a finite number, 0 or more"),
    ("alpha2", at_least(0), "must be a finite number, 0 or more"),
    *((f"{name}seed", seed, "must be in [0, 2³²)") for name in ("", "search.", "rollout.", "thresholds.")),
)


def validate(config: Config) -> None:
    """Check the configuration as a whole.

    Raises:
        ConfigError: all faults, each with field, value, rule and remedy.
    """
    faults = [*rule_faults(config, RULES), *_choice_faults(config)]
    for part in (collection, llm, thresholds, models, training, rollouts, evaluation):
        faults += part.faults(config)
    try:
        envs.make(**asdict(config.env))
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)


def _choice_faults(config: Config) -> Iterator[str]:
    unknown = [stage for stage in config.stages if stage not in STAGES]
    if unknown or not config.stages:
        yield f"stages={config.stages}: choose from {list(STAGES)}"
    if Policy.bc not in config.policies:
        yield f"policies={[str(p) for p in config.policies]}: must hold bc, which the others are compared with"
    if isinstance(config.env, MixtureConfig):
        yield from _name_faults(config, config.env)
        yield from _share_faults(config, len(config.env.parts))
    if config.logger.kind == LoggerKind.wandb and not config.logger.project:
        yield "logger.project='': W&B needs the name of a project"


def _name_faults(config: Config, mixture: MixtureConfig) -> Iterator[str]:
    """Results have `babyai/success_rate`, `kto/success_rate` and `gsm8k/accuracy`: no name may have two meanings."""
    others = dict.fromkeys([*map(str, Policy), *map(str, EfficiencyForm)], "a policy")
    others |= dict.fromkeys(config.evaluation, "a set of questions")
    for name in mixture.parts:
        if name in others:
            yield f"env.parts.{name}: is the name of {others[name]} too, and results name both; rename one of them"


def _share_faults(config: Config, parts: int) -> Iterator[str]:
    """Environments take the tasks in turn: each needs one to search and one to validate on, and two for an error."""
    for field, each in (("search.tasks", 1), ("rollout.test_tasks", 2), ("rollout.validation_tasks", 1)):
        group, name = field.split(".")
        value = getattr(getattr(config, group), name)
        if 1 <= value < each * parts:
            yield f"{field}={value}: {parts} environments take them in turn; must be at least {each * parts}"
