"""bc, filtered_bc: supervised fine-tuning of the policy, and of the baseline to beat."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depo_lightning.config import BCConfig, BCData, Config, FilteredBCConfig, PretrainedConfig
from depo_lightning.errors import DataError
from depo_lightning.stages.context import TRAJECTORIES, Context, settings, write_stats
from depo_lightning.stages.identity import model_identity, trainer_identity, training_identity
from depo_lightning.stages.pretrained import model_folder, model_inputs
from depo_lightning.store import Stage
from depo_lightning.trajectory import Label, Status, Trajectory, iter_jsonl

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def bc_stage(config: Config, context: Context, collected: Stage, rephrased: Stage, tokenizer: Stage) -> Stage:
    """Behaviour cloning: π_BC, start point and reference of the preference stage."""
    source = rephrased if config.bc.data is BCData.desirable else collected
    identity = {
        "model": model_identity(config.model),
        "bc": training_identity(config.bc),
        "trainer": trainer_identity(config.trainer),
        "seed": config.seed,
    }
    inputs = {"trajectories": source, "tokenizer": tokenizer, **model_inputs(config)}
    return Stage("bc", 1, identity, partial(_bc, context), inputs, title="behaviour cloning")


def _bc(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.stages import policies

    config = context.config
    wanted = _desirable if config.bc.data is BCData.desirable else _succeeded
    source = inputs["trajectories"] / TRAJECTORIES
    demonstrations = [item.id for item in iter_jsonl(source) if wanted(item)]
    demonstrations = _subset(demonstrations, config.bc.max_trajectories, config.seed)
    tokenizer = policies.load_tokenizer(inputs["tokenizer"])
    load = partial(_pretrained, config, inputs)
    model = policies.new_model(config.model, tokenizer, config.seed, load())
    policy = _fine_tune(context, "bc", target, model, tokenizer, source, demonstrations, config.bc)
    full = load(quantised=False) if getattr(config.model, "load_in_4bit", False) else None
    policies.save_merged(policy, tokenizer, target, full)


def _pretrained(config: Config, inputs: dict[str, Path], quantised: bool = True) -> PreTrainedModel | None:
    from depo_lightning.models.pretrained import load_pretrained
    from depo_lightning.stages import policies

    if not isinstance(config.model, PretrainedConfig):
        return None
    load = policies.load_settings(config)
    load = load if quantised else replace(load, load_in_4bit=False)
    return load_pretrained(model_folder(config.model, inputs), load)


def filtered_bc_stage(config: Config, context: Context, bc: Stage, collected: Stage, tokenizer: Stage) -> Stage:
    """SFT of π_BC on the cheapest successes of each task."""
    identity = {
        "filtered_bc": training_identity(config.filtered_bc),
        "trainer": trainer_identity(config.trainer),
        "seed": config.seed,
    }
    inputs = {"bc": bc, "trajectories": collected, "tokenizer": tokenizer}
    return Stage("filtered_bc", 1, identity, partial(_filtered_bc, context), inputs, title="SFT on the cheapest")


def _filtered_bc(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.collect.labelling import select_filtered
    from depo_lightning.stages import policies
    from depo_lightning.stages.label import token_counter

    config = context.config
    source = inputs["trajectories"] / TRAJECTORIES
    count = token_counter(inputs["tokenizer"])
    outlines = [count(item).outline() for item in iter_jsonl(source)]
    cheapest = [item.id for item in select_filtered(outlines, config.filtered_bc.fraction)]
    cheapest = _subset(cheapest, config.filtered_bc.max_trajectories, config.seed)
    model, tokenizer = policies.load_start(inputs["bc"], config)
    policy = _fine_tune(context, "filtered_bc", target, model, tokenizer, source, cheapest, config.filtered_bc)
    policies.save_policy(policy, tokenizer, target, inputs["bc"])


def _fine_tune(
    context: Context,
    name: str,
    target: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    source: Path,
    demonstrations: list[str],
    train: BCConfig | FilteredBCConfig,
) -> Any:
    """Train on the episodes of `source` with these ids; returns the model, with its adapters where it has any."""
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.data import CompactSequence, SftDataModule, trajectory_task
    from depo_lightning.modules import BCModule, OptimizerSettings
    from depo_lightning.stages import policies
    from depo_lightning.stages.training import compute, fit, packing

    if not demonstrations:
        raise DataError(f"{name}: no trajectory to imitate; raise search.tasks, or make the teacher better")
    seed = context.config.seed
    policy = policies.trainable(model, train.lora, seed)
    renderer = ChatRenderer(tokenizer)
    chosen = set(demonstrations)
    encoded, tasks = [], []
    for item in iter_jsonl(source):
        if item.id in chosen:
            encoded.append(CompactSequence.of(renderer.encode(item.messages())))
            tasks.append(trajectory_task(item))
    trainer = context.config.trainer
    if isinstance(context.config.model, PretrainedConfig):
        lengths = [len(row.input_ids) for row in encoded]
        policies.check_lengths(model, dict(zip(demonstrations, lengths, strict=True)))
    data = SftDataModule(encoded, train.batch_tokens, seed, packing(trainer, model), train.grouping, tasks)
    module = BCModule(policy, settings(OptimizerSettings, train), compute(trainer))
    fit(module, data, target, trainer, context.tracker, name, epochs=train.epochs, seed=seed)
    write_stats(target, train.epochs * sum(len(row.input_ids) for row in encoded))
    return policy


def _succeeded(trajectory: Trajectory) -> bool:
    return trajectory.success and trajectory.status is Status.FINISHED


def _desirable(trajectory: Trajectory) -> bool:
    return trajectory.label is Label.DESIRABLE


def _subset(ids: list[str], most: int | None, seed: int) -> list[str]:
    """A seeded subset of at most `most`, in the original order."""
    if most is None or len(ids) <= most:
        return ids
    chosen = np.random.default_rng(seed).choice(len(ids), size=most, replace=False)
    return [ids[index] for index in sorted(chosen)]
