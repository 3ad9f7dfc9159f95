"""What of the configuration stands in the keys of several stages. Light: keys are told before anything is loaded."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from depo_lightning.choices import Grouping
from depo_lightning.config import (
    Config,
    EnvConfig,
    MixtureConfig,
    ModelConfig,
    PretrainedConfig,
    RolloutConfig,
    ServerRolloutConfig,
    TinyConfig,
    TrainConfig,
    TrainerConfig,
)
from depo_lightning.model_source import find_source
from depo_lightning.stages.context import plain

_SERVER = {f.name for f in fields(ServerRolloutConfig)} - {f.name for f in fields(RolloutConfig)}


def model_identity(model: ModelConfig) -> dict[str, Any]:
    """What a new model depends on; the vocabulary is the tokenizer's affair, the attention one of rounding."""
    if isinstance(model, PretrainedConfig):
        return {"source": find_source(model).identity, "dtype": str(model.dtype), "load_in_4bit": model.load_in_4bit}
    usual = getattr(model, "initializer_range", None) == TinyConfig.initializer_range  # as before there was a choice
    return plain(model, "vocab_size", *(["initializer_range"] if usual else []))


def trainer_identity(trainer: TrainerConfig) -> dict[str, Any]:
    """What of the trainer can change weights.

    How a batch is shared out over devices, micro-batches, passes and threads changes rounding only, and is no part of
    it. One device is what keys have said since there was no choice.
    """
    rounding = ("threads", "packing", "pass_tokens", "flex_attention", "gradient_checkpointing")
    sharing = ("devices", "nodes", "strategy", "accumulate", "checkpoint_every")
    return {**plain(trainer, *rounding, *sharing), "devices": 1}


def training_identity(train: TrainConfig, *leave_out: str) -> dict[str, Any]:
    """The settings of a training stage. Ungrouped batches were there before grouping was, and have the same keys."""
    return plain(train, *leave_out, *(["grouping"] if train.grouping is Grouping.none else []))


def env_identity(env: EnvConfig) -> dict[str, Any]:
    """What tasks and observations depend on; where an index is kept is no part of it."""
    if isinstance(env, MixtureConfig):
        return {**plain(env, "parts"), "parts": {name: env_identity(part) for name, part in env.parts.items()}}
    return plain(env, "index")


def rollout_identity(config: Config, split: str) -> dict[str, Any]:
    """What episodes depend on besides the policy and the server that plays it, if one does."""
    tasks = config.rollout.test_tasks if split == "test" else config.rollout.validation_tasks
    own = plain(config.rollout, "test_tasks", "validation_tasks", "split", "workers", "backend", *_SERVER)
    return {"env": env_identity(config.env), "split": split, "tasks": tasks, **own}


def served_name(server: ServerRolloutConfig, policy: str) -> str:
    """What the server calls a policy."""
    return str(vars(server.models).get(policy, policy))


def server_identity(server: ServerRolloutConfig, policy: str) -> dict[str, Any]:
    """What a server's episodes depend on besides. Another address may be another server, with numerics of its own."""
    matters = ("base_url", "load_adapters", "extra_body")
    found = plain(server, *(name for name in vars(server) if name not in matters))
    return {**found, "model": served_name(server, policy)}
