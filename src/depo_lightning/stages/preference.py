"""reference, depo: π_BC's log-probabilities once, then preference training from it (KTO is DEPO with α = 0)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depo_lightning.choices import EfficiencyForm
from depo_lightning.config import Config, EfficiencyConfig, PretrainedConfig
from depo_lightning.progress import bar
from depo_lightning.stages.context import TRAJECTORIES, VALIDATION, Context, settings, write_stats
from depo_lightning.stages.drafts import of_validations
from depo_lightning.stages.identity import rollout_identity, trainer_identity, training_identity
from depo_lightning.store import Stage
from depo_lightning.trajectory import iter_jsonl, write_jsonl

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from depo_lightning.data import PreferenceData

REFERENCE = "reference.json"
_BATCH_TOKENS = 4096  # of the reference pass; no gradient, so memory is no concern


def reference_stage(config: Config, context: Context, bc: Stage, rephrased: Stage) -> Stage:
    """log π_BC of every step and mismatched pair: shared by every point of a sweep over the loss."""
    identity = {"kl_pairs": config.depo.kl_pairs, "seed": config.seed}
    inputs = {"bc": bc, "trajectories": rephrased}
    return Stage("reference", 1, identity, partial(_reference, context), inputs, title="reference log-probabilities")


def _reference(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.data import compute_reference
    from depo_lightning.stages import policies
    from depo_lightning.stages.training import computing, packing, use_threads

    use_threads(context.config.trainer)
    model, tokenizer = policies.load_start(inputs["bc"], context.config)
    model = policies.in_training_dtype(model, context.config.depo.lora)
    model = policies.on_device(model, context.config.trainer)
    data = _data(context.config, model, tokenizer, inputs["trajectories"])
    count = int(data.steps.counts.sum()) + len(data.pairs)
    with bar("log-probabilities", count) as advance, computing(context.config.trainer):
        scores = compute_reference(model, data, _BATCH_TOKENS, advance, packing(context.config.trainer, model))
    scores.save(target / REFERENCE)
    write_stats(target, _tokens(data))


def _tokens(data: PreferenceData) -> int:
    return int(data.steps.lengths.sum() + data.pairs.lengths.sum())


def depo_stage(
    config: Config, context: Context, bc: Stage, rephrased: Stage, reference: Stage, efficiency: EfficiencyConfig
) -> Stage:
    """Preference training from π_BC with the given form of the bonus.

    Without a bonus every form is KTO, and has KTO's key: it is trained once.
    """
    identity = {
        "efficiency": _efficiency_identity(config, efficiency),
        "depo": training_identity(config.depo, "kl_pairs"),
        "validation": rollout_identity(config, "validation"),
        "trainer": trainer_identity(config.trainer),
        "seed": config.seed,
    }
    inputs = {"bc": bc, "trajectories": rephrased, "reference": reference}
    compute = partial(_depo, context, efficiency)
    return Stage("depo", 2, identity, compute, inputs, title=f"preference training, form {efficiency.form}")


def _efficiency_identity(config: Config, efficiency: EfficiencyConfig) -> dict[str, Any]:
    if efficiency.form is EfficiencyForm.kto or config.alpha1 == config.alpha2 == 0:
        return {"form": str(EfficiencyForm.kto)}
    strength = (
        {"penalty_strength": efficiency.penalty_strength}
        if efficiency.form is EfficiencyForm.undesirable_penalty
        else {}
    )
    return {"form": str(efficiency.form), "alpha1": config.alpha1, "alpha2": config.alpha2, **strength}


def _depo(context: Context, efficiency: EfficiencyConfig, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.data import PreferenceDataModule, ReferenceLogps
    from depo_lightning.modules import DEPOModule, ObjectiveSettings, OptimizerSettings, ValidationRollouts
    from depo_lightning.stages import policies
    from depo_lightning.stages.evaluate import validation_rollouts
    from depo_lightning.stages.training import compute, fit, packing

    config = context.config
    model, tokenizer = policies.load_start(inputs["bc"], config)
    reference = ReferenceLogps.load(inputs["reference"] / REFERENCE)
    samples = _data(config, model, tokenizer, inputs["trajectories"])
    shared = packing(config.trainer, model)
    batch = (config.depo.batch_size, config.seed, shared, config.depo.grouping)
    data = PreferenceDataModule(samples, reference, config.depo.unit, *batch)
    policy = policies.trainable(model, config.depo.lora, config.seed)
    identity = _efficiency_identity(config, efficiency)
    objective = settings(ObjectiveSettings, config.depo, **{"alpha1": 0.0, "alpha2": 0.0, **identity})
    module = DEPOModule(policy, objective, settings(OptimizerSettings, config.depo), compute(config.trainer))
    drafts = of_validations(target.parents[1] / "depo", rollout_identity(config, "validation"), inputs["bc"])
    validation = validation_rollouts(context, tokenizer, drafts)
    name = str(efficiency.form)
    fit(
        module,
        data,
        target,
        config.trainer,
        context.tracker,
        name,
        epochs=config.depo.epochs,
        seed=config.seed,
        callbacks=[ValidationRollouts(validation, config.depo.validate_every or None)],
    )
    policies.save_policy(policy, tokenizer, target, inputs["bc"])
    if validation.episodes:
        write_jsonl(target / VALIDATION, validation.episodes)
    write_stats(target, config.depo.epochs * _tokens(samples))


def _data(config: Config, model: PreTrainedModel, tokenizer: Any, trajectories: Path) -> PreferenceData:
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.data import CompactSequence, PreferenceData, PreferenceSample
    from depo_lightning.stages import policies

    renderer = ChatRenderer(tokenizer)
    samples = [
        PreferenceSample.from_trajectory(item, CompactSequence.of(renderer.encode(item.messages())))
        for item in iter_jsonl(trajectories / TRAJECTORIES)
    ]
    if isinstance(config.model, PretrainedConfig):
        policies.check_lengths(model, {sample.id: len(sample.input_ids) for sample in samples})
    return PreferenceData(samples, config.depo.kl_pairs, config.seed)
