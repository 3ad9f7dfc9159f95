"""Groups `efficiency`, `bc`, `filtered_bc`, `depo` and `trainer`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from depo_lightning import team
from depo_lightning.choices import PackingMode
from depo_lightning.config import Config, Strategy, TrainerConfig
from depo_lightning.validation.rules import COUNT, FRACTION, POSITIVE, Rule, at_least, fraction, positive, rule_faults

_STAGES = ("bc", "filtered_bc", "depo")
_THREADS = 1024
_PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")

RULES: tuple[Rule, ...] = (
    ("efficiency.penalty_strength", at_least(0), "must be 0 or more"),
    *((f"{stage}.lr", positive, POSITIVE) for stage in _STAGES),
    *((f"{stage}.epochs", at_least(1), COUNT) for stage in _STAGES),
    *((f"{stage}.warmup", lambda value: 0 <= value < 1, "must be in [0, 1)") for stage in _STAGES),
    *((f"{stage}.weight_decay", at_least(0), "must be 0 or more") for stage in _STAGES),
    *((f"{stage}.batch_tokens", at_least(1), COUNT) for stage in ("bc", "filtered_bc")),
    *((f"{stage}.max_trajectories", at_least(1), COUNT) for stage in ("bc", "filtered_bc")),
    ("filtered_bc.fraction", fraction, FRACTION),
    ("depo.beta", positive, "must be a positive number: it scales the log-ratio, and 0 leaves no gradient"),
    ("depo.desirable_weight", at_least(0), "must be 0 or more"),
    ("depo.undesirable_weight", at_least(0), "must be 0 or more"),
    ("depo.kl_pairs", at_least(1), "must be at least 1: z0 is estimated from mismatched pairs"),
    ("depo.batch_size", at_least(2), "must be at least 2: z0 pairs a prompt with another trajectory's turn"),
    ("depo.validate_every", at_least(0), "must be 0 (once an epoch) or more"),
)
TRAINER_RULES: tuple[Rule, ...] = (
    ("trainer.devices", at_least(1), COUNT),
    ("trainer.nodes", at_least(1), COUNT),
    ("trainer.accumulate", at_least(1), COUNT),
    ("trainer.checkpoint_every", at_least(0), "minutes; must be 0 (each step) or more, or null for no checkpoints"),
    ("trainer.accelerator", lambda value: value in ("cpu", "gpu", "cuda", "mps"), "choose cpu, gpu or mps"),
    (
        "trainer.precision",
        lambda value: value in _PRECISIONS,
        f"choose one of {_PRECISIONS}; weights of 16 bits, which bf16-true and 16-true train, lose most small updates",
    ),
    ("trainer.threads", lambda value: value is None or 1 <= value <= _THREADS, f"must be in 1 to {_THREADS}"),
    ("trainer.pass_tokens", at_least(1), COUNT),
    ("trainer.gradient_clip", positive, "must be a positive number, or null for none"),
)


def faults(config: Config) -> Iterator[str]:
    """What is wrong with how policies are trained."""
    yield from rule_faults(config, (*RULES, *TRAINER_RULES))
    for stage in _STAGES:
        lora = getattr(config, stage).lora
        if lora is not None and not (lora.rank >= 1 and lora.alpha >= 1 and 0 <= lora.dropout < 1):
            yield (
                f"{stage}.lora: rank={lora.rank}, alpha={lora.alpha}, dropout={lora.dropout}: "
                "rank and alpha must be at least 1, dropout in [0, 1)"
            )
        if lora is not None and isinstance(lora.targets, str):
            yield from _pattern_faults(f"{stage}.lora.targets", lora.targets)
    if config.depo.desirable_weight == config.depo.undesirable_weight == 0:
        yield "depo.desirable_weight=0, undesirable_weight=0: one must be positive, or there is no loss"
    if config.trainer.flex_attention and config.trainer.accelerator == "cpu":
        yield "trainer.flex_attention=true: has no backward pass on a CPU; set it to false, or trainer=gpu"
    if config.trainer.accelerator in ("gpu", "cuda"):
        yield from _gpu_faults(config.trainer)
    yield from _strategy_faults(config.trainer)
    yield from team.faults(config)


def _pattern_faults(name: str, pattern: str) -> Iterator[str]:
    try:
        re.compile(pattern)
    except re.error as error:
        remedy = "write all-linear, a list of module names, or a regular expression for modules' paths"
        yield f"{name}={pattern!r}: is no regular expression ({error}); {remedy}"


def _gpu_faults(trainer: TrainerConfig) -> Iterator[str]:
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if there == 0:
        yield f"trainer.accelerator={trainer.accelerator!r}: this machine has no CUDA GPU; use trainer=cpu"
    elif trainer.devices > there:
        yield f"trainer.devices={trainer.devices}: this machine has {there} CUDA GPU(s); set at most that"


def _strategy_faults(trainer: TrainerConfig) -> Iterator[str]:
    if trainer.strategy is Strategy.single and trainer.devices * trainer.nodes > 1:
        yield (
            f"trainer.devices={trainer.devices}, nodes={trainer.nodes}: strategy single is for one device; write "
            "trainer=ddp, or trainer=fsdp for a model that fits no single GPU"
        )
    if trainer.strategy is not Strategy.fsdp:
        return
    if trainer.devices * trainer.nodes == 1:
        yield "trainer.devices=1: strategy fsdp shares a model out over several devices; for one write trainer=gpu"
    if trainer.accelerator not in ("gpu", "cuda"):
        yield f"trainer.strategy=fsdp: needs GPUs, not accelerator={trainer.accelerator}; on CPUs use trainer=ddp"
    if trainer.packing is not PackingMode.padding:
        yield (
            f"trainer.packing={trainer.packing}: under fsdp all devices must make the same passes over the model; "
            "write trainer.packing=padding"
        )
