"""Checks across the whole configuration, before any work; every fault is reported, not only the first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

from depo_lightning import envs
from depo_lightning.config import (
    STAGES,
    AbsoluteThresholds,
    Config,
    LoggerKind,
    Policy,
    RelativeThresholds,
    ScriptedTeacherConfig,
    TinyConfig,
)
from depo_lightning.errors import ConfigError

Rule = tuple[str, Callable[[Any], bool], str]


def _at_least(low: float) -> Callable[[Any], bool]:
    return lambda value: value is None or (math.isfinite(value) and value >= low)


def _positive(value: Any) -> bool:
    return value is None or (math.isfinite(value) and value > 0)


def _probability(value: float) -> bool:
    return 0 <= value <= 1


def _below_one(value: float) -> bool:
    return 0 <= value < 1


def _seed(value: int) -> bool:
    return 0 <= value < 2**32


def _fraction(value: float) -> bool:
    return 0 < value <= 1


_PRECISIONS = ("32-true", "bf16-true", "bf16-mixed", "16-true", "16-mixed", "64-true")
_COUNT = "must be at least 1"
_POSITIVE = "must be a positive number"
_PROBABILITY = "must be in [0, 1]"
_FRACTION = "must be in (0, 1]"

RULES: tuple[Rule, ...] = (
    ("alpha1", _at_least(0), "must be a finite number, 0 or more"),
    ("alpha2", _at_least(0), "must be a finite number, 0 or more"),
    *((f"{name}seed", _seed, "must be in [0, 2³²)") for name in ("", "search.", "rollout.", "thresholds.")),
    ("efficiency.penalty_strength", _at_least(0), "must be 0 or more"),
    *((f"search.{name}", _at_least(1), _COUNT) for name in ("tasks", "simulations", "proposals", "max_depth")),
    *((f"search.{name}", _at_least(1), _COUNT) for name in ("workers", "concurrency")),
    ("search.exploration", _at_least(0), "must be 0 or more"),
    *((f"{stage}.lr", _positive, _POSITIVE) for stage in ("bc", "filtered_bc", "depo")),
    *((f"{stage}.epochs", _at_least(1), _COUNT) for stage in ("bc", "filtered_bc", "depo")),
    *(
        (f"{stage}.warmup", lambda value: 0 <= value < 1, "must be in [0, 1)")
        for stage in ("bc", "filtered_bc", "depo")
    ),
    *((f"{stage}.weight_decay", _at_least(0), "must be 0 or more") for stage in ("bc", "filtered_bc", "depo")),
    *((f"{stage}.batch_tokens", _at_least(1), _COUNT) for stage in ("bc", "filtered_bc")),
    *((f"{stage}.max_trajectories", _at_least(1), _COUNT) for stage in ("bc", "filtered_bc")),
    ("filtered_bc.fraction", _fraction, _FRACTION),
    ("thresholds.fraction", _fraction, _FRACTION),
    ("depo.beta", _positive, "must be a positive number: it scales the log-ratio, and 0 leaves no gradient"),
    ("depo.desirable_weight", _at_least(0), "must be 0 or more"),
    ("depo.undesirable_weight", _at_least(0), "must be 0 or more"),
    ("depo.kl_pairs", _at_least(1), "must be at least 1: z0 is estimated from mismatched pairs"),
    ("depo.batch_size", _at_least(2), "must be at least 2: z0 pairs a prompt with another trajectory's turn"),
    ("depo.validate_every", _at_least(0), "must be 0 (once an epoch) or more"),
    ("rollout.test_tasks", _at_least(2), "must be at least 2, or there is no standard error"),
    ("rollout.validation_tasks", _at_least(1), _COUNT),
    *((f"rollout.{name}", _at_least(1), _COUNT) for name in ("max_steps", "max_new_tokens", "batch_size", "workers")),
    ("rollout.max_context", _at_least(16), "must be at least 16 tokens"),
    ("rollout.temperature", _at_least(0), "must be 0 (greedy) or more"),
    ("trainer.devices", lambda value: value == 1, "must be 1: several devices are not supported yet"),
    ("trainer.accelerator", lambda value: value in ("cpu", "gpu", "cuda", "mps"), "choose cpu, gpu or mps"),
    ("trainer.precision", lambda value: value in _PRECISIONS, f"choose one of {_PRECISIONS}"),
    ("trainer.threads", _at_least(1), _COUNT),
    ("trainer.pass_tokens", _at_least(1), _COUNT),
    ("trainer.gradient_clip", _positive, "must be a positive number, or null for none"),
)

TINY_RULES: tuple[Rule, ...] = (
    *((f"model.{name}", _at_least(1), _COUNT) for name in ("hidden", "layers", "ff", "heads", "max_positions")),
    ("model.vocab_size", _at_least(300), "must be at least 300: 256 bytes and the special tokens come first"),
)
ABSOLUTE_RULES: tuple[Rule, ...] = (
    *((f"thresholds.{name}", _probability, _PROBABILITY) for name in ("kappa0", "kappa1", "kappa2")),
    ("thresholds.step_cut", _at_least(1), _COUNT),
)
_CLASSES = ("desirable", "undesirable")
RELATIVE_RULES: tuple[Rule, ...] = (
    *((f"thresholds.{name}_fraction", lambda value: 0 < value < 1, "must be in (0, 1)") for name in _CLASSES),
    ("thresholds.min_successes", _at_least(1), _COUNT),
    *((f"thresholds.{name}_weight", _at_least(0), "must be 0 or more") for name in ("token", "step")),
)
TEACHER_RULES: tuple[Rule, ...] = tuple(
    (f"teacher.{name}", _probability, _PROBABILITY) for name in ("noise", "detour", "verbosity", "style_persistence")
)


def validate(config: Config) -> None:
    """Check the configuration as a whole.

    Raises:
        ConfigError: all faults, each with field, value, rule and remedy.
    """
    faults = [*_rule_faults(config, RULES), *_choice_faults(config), *_threshold_faults(config)]
    if isinstance(config.model, TinyConfig):
        faults += _rule_faults(config, TINY_RULES)
        if config.model.heads >= 1 and config.model.hidden % (2 * config.model.heads):
            value = f"model.hidden={config.model.hidden} with model.heads={config.model.heads}"
            faults.append(f"{value}: hidden must be an even multiple of heads")
        if config.rollout.max_context > config.model.max_positions:
            value = f"rollout.max_context={config.rollout.max_context}"
            faults.append(f"{value}: the model has only model.max_positions={config.model.max_positions} positions")
    if isinstance(config.teacher, ScriptedTeacherConfig):
        faults += _rule_faults(config, TEACHER_RULES)
    try:
        envs.make(**vars(config.env))
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)


def _rule_faults(config: Config, rules: tuple[Rule, ...]) -> Iterator[str]:
    for field, holds, rule in rules:
        value = attrgetter(field)(config)
        if not holds(value):
            yield f"{field}={value}: {rule}"


def _threshold_faults(config: Config) -> Iterator[str]:
    thresholds = config.thresholds
    for name in ("max_desirable", "max_undesirable"):
        if not _at_least(1)(getattr(thresholds, name)):
            yield f"thresholds.{name}={getattr(thresholds, name)}: must be at least 1, or null for all"
    if isinstance(thresholds, AbsoluteThresholds):
        yield from _rule_faults(config, ABSOLUTE_RULES)
        if not thresholds.kappa2 <= thresholds.kappa1 <= thresholds.kappa0:
            yield (
                f"thresholds.kappa2={thresholds.kappa2}, kappa1={thresholds.kappa1}, kappa0={thresholds.kappa0}: "
                "must rise, kappa2 ≤ kappa1 ≤ kappa0 (DEPO, Eq. 3), or a trajectory could be D and U at once"
            )
    if isinstance(thresholds, RelativeThresholds):
        yield from _rule_faults(config, RELATIVE_RULES)
        if thresholds.desirable_fraction + thresholds.undesirable_fraction > 1:
            yield (
                f"thresholds.desirable_fraction={thresholds.desirable_fraction}, "
                f"undesirable_fraction={thresholds.undesirable_fraction}: their sum must be at most 1"
            )
        if thresholds.token_weight == 0 and thresholds.step_weight == 0:
            yield "thresholds.token_weight=0, step_weight=0: one must be positive, or every episode costs the same"


def _choice_faults(config: Config) -> Iterator[str]:
    unknown = [stage for stage in config.stages if stage not in STAGES]
    if unknown or not config.stages:
        yield f"stages={config.stages}: choose from {list(STAGES)}"
    if Policy.bc not in config.policies:
        yield f"policies={[str(p) for p in config.policies]}: must hold bc, which the others are compared with"
    if config.rollout.split not in list(envs.Split):
        yield f"rollout.split={config.rollout.split!r}: choose from {[str(s) for s in envs.Split]}"
    if config.rephraser.name not in ("rules", "none"):
        yield f"rephraser.name={config.rephraser.name!r}: choose from ['rules', 'none']"
    if config.rollout.max_new_tokens >= config.rollout.max_context:
        yield (
            f"rollout.max_new_tokens={config.rollout.max_new_tokens}: must be less than "
            f"rollout.max_context={config.rollout.max_context}, or no turn fits"
        )
    for field, value, names in (
        ("model.name", config.model.name, ("tiny",)),
        ("teacher.name", config.teacher.name, ("scripted",)),
        ("thresholds.kind", config.thresholds.kind, ("absolute", "relative")),
    ):
        if value not in names:
            yield f"{field}={value!r}: choose from {list(names)}"
    for stage in ("bc", "filtered_bc", "depo"):
        lora = getattr(config, stage).lora
        if lora is not None and not (lora.rank >= 1 and lora.alpha >= 1 and 0 <= lora.dropout < 1):
            yield (
                f"{stage}.lora: rank={lora.rank}, alpha={lora.alpha}, dropout={lora.dropout}: "
                "rank and alpha must be at least 1, dropout in [0, 1)"
            )
    if config.trainer.flex_attention and config.trainer.accelerator == "cpu":
        yield "trainer.flex_attention=true: has no backward pass on a CPU; set it to false, or trainer=gpu"
    if config.depo.desirable_weight == config.depo.undesirable_weight == 0:
        yield "depo.desirable_weight=0, undesirable_weight=0: one must be positive, or there is no loss"
    source = config.search.trajectories
    if source is not None and not Path(source).is_file():
        yield f"search.trajectories={source!r}: no such file; give a trajectories JSONL, or null to search"
    if config.logger.kind == LoggerKind.wandb and not config.logger.project:
        yield "logger.project='': W&B needs the name of a project"
    if config.trainer.accelerator in ("gpu", "cuda"):
        import torch

        if not torch.cuda.is_available():
            yield f"trainer.accelerator={config.trainer.accelerator!r}: this machine has no CUDA GPU; use trainer=cpu"
