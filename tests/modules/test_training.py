"""Training through Lightning: direction, logging, and repeatability to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM

from depo_lightning.data import (
    Packing,
    PreferenceData,
    PreferenceDataModule,
    PreferenceSample,
    SftDataModule,
    Unit,
    compute_reference,
)
from depo_lightning.errors import ConfigError
from depo_lightning.modules import BCModule, Compute, DEPOModule, OptimizerSettings, ValidationRollouts
from depo_lightning.modules.optim import configure, parameter_groups
from depo_lightning.objectives import EfficiencyForm, ObjectiveSettings

OPTIMIZER = OptimizerSettings(lr=5e-3, warmup=0.1)
MakeTrainer = Callable[..., pl.Trainer]


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).clone()


def preference(
    model: Any, samples: list[PreferenceSample], unit: Unit = Unit.step, packing: Packing | None = None
) -> PreferenceDataModule:
    data = PreferenceData(samples, kl_pairs=2, seed=0)
    reference = compute_reference(model, data, 200, packing=packing)
    return PreferenceDataModule(data, reference, unit, batch_size=6, seed=0, packing=packing)


def test_bc_learns_agent_tokens_and_logs(
    model: LlamaForCausalLM, samples: list[PreferenceSample], make_trainer: MakeTrainer, recorder: Any
) -> None:
    module = BCModule(model.eval(), OPTIMIZER)
    trainer = make_trainer(10, recorder)
    trainer.fit(module, SftDataModule(samples, batch_tokens=100, seed=0))
    losses = [row["loss"] for row in recorder.rows]
    per_epoch = len(losses) // 10
    assert np.mean(losses[-per_epoch:]) < 0.7 * np.mean(losses[:per_epoch])
    assert all(row["grad_norm"] > 0 for row in recorder.rows)
    assert model.training
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("compute", [Compute(), Compute(threads=2)])
def test_packed_training_ends_where_padded_training_ends(
    model: LlamaForCausalLM, samples: list[PreferenceSample], make_trainer: MakeTrainer, compute: Compute
) -> None:
    moves = []  # of all weights by behaviour cloning, of the adapter by preference training
    for packing in (None, Packing(60, threads=compute.threads)):
        policy = deepcopy(model)
        make_trainer(2).fit(BCModule(policy, OPTIMIZER, compute), SftDataModule(samples, 100, 0, packing))
        cloned = weights(policy)
        torch.manual_seed(0)
        adapted = get_peft_model(policy, LoraConfig(r=4, target_modules="all-linear"))
        started = weights(adapted)
        data = preference(policy, samples, Unit.step, packing)
        make_trainer(2).fit(DEPOModule(adapted, ObjectiveSettings(), OPTIMIZER, compute), data)
        moves.append((cloned - weights(model), weights(adapted) - started))
    for padded, packed in zip(*moves, strict=True):
        assert (packed - padded).norm() < 1e-2 * padded.norm()


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize("lora", [False, True])
def test_preference_training_raises_d_above_u(
    model: LlamaForCausalLM,
    samples: list[PreferenceSample],
    make_trainer: MakeTrainer,
    recorder: Any,
    unit: Unit,
    lora: bool,
) -> None:
    data = preference(model, samples, unit)
    policy = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear")) if lora else model
    make_trainer(5, recorder).fit(DEPOModule(policy, ObjectiveSettings(), OPTIMIZER), data)
    first, last = recorder.rows[0], recorder.rows[-1]
    assert first["logratio/desirable"] == pytest.approx(0.0, abs=1e-4)
    assert first["logratio/undesirable"] == pytest.approx(0.0, abs=1e-4)
    assert last["logratio/desirable"] > 0.5 > -0.5 > last["logratio/undesirable"]
    assert last["loss"] < first["loss"]
    assert first["z0"] == pytest.approx(0.0, abs=1e-4)
    assert first["bonus/desirable"] > 0 == first["bonus/undesirable"]
    assert first["reward_with_beta/desirable"] == pytest.approx(0.2 * first["bonus/desirable"], abs=1e-4)
    expected = {"loss", "z0", "leverage", "grad_norm"} if unit == Unit.step else {"loss", "z0", "grad_norm"}
    assert expected <= set(last)


def test_first_loss_is_that_of_the_formula(
    model: LlamaForCausalLM, samples: list[PreferenceSample], make_trainer: MakeTrainer, recorder: Any
) -> None:
    """Before the first update policy = reference and z0 = 0, so the loss follows from the bonuses alone."""
    data = preference(model, samples)
    (indices, *_) = list(data.train_dataloader().sampler)
    losses = []
    for sample in (samples[index] for index in indices):
        bonus = 3 / sample.t_token + 3 / sample.t_step if sample.desirable else 0.0
        losses += [1 - 1 / (1 + math.exp(-0.2 * bonus))] * sample.t_step
    make_trainer(1, recorder).fit(DEPOModule(model, ObjectiveSettings(), OPTIMIZER), data)
    assert recorder.rows[0]["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


@pytest.mark.parametrize("form", list(EfficiencyForm))
def test_every_form_with_alpha_zero_trains_the_same_policy(
    model: LlamaForCausalLM, samples: list[PreferenceSample], make_trainer: MakeTrainer, form: EfficiencyForm
) -> None:
    start = {name: value.clone() for name, value in model.state_dict().items()}
    data = preference(model, samples)
    trained = []
    for settings in (
        ObjectiveSettings(form=form, alpha1=0.0, alpha2=0.0),
        ObjectiveSettings(form=EfficiencyForm.kto, alpha1=3.0, alpha2=3.0),
    ):
        model.load_state_dict(start)
        make_trainer(2).fit(DEPOModule(model, settings, OPTIMIZER), data)
        trained.append(weights(model))
    assert torch.equal(*trained)
    assert not torch.equal(trained[0], torch.cat([start[name].flatten() for name, _ in model.named_parameters()]))


def test_repeats_are_equal_to_the_bit_with_and_without_validation(
    model: LlamaForCausalLM, samples: list[PreferenceSample], make_trainer: MakeTrainer
) -> None:
    """Rollouts in between draw random numbers and switch the mode; training must not notice."""
    start = {name: value.clone() for name, value in model.state_dict().items()}
    data = preference(model, samples)
    seen: list[bool] = []

    def play(policy: torch.nn.Module) -> dict[str, float]:
        seen.append(policy.training)
        return {"success": torch.rand(1).item(), "invalid_action_rate": np.random.rand()}  # noqa: NPY002

    trained = []
    for callbacks in ([], [ValidationRollouts(play, every_steps=2)], [ValidationRollouts(play)]):
        model.load_state_dict(start)
        torch.manual_seed(1)
        policy = get_peft_model(model, LoraConfig(r=4, lora_dropout=0.5, target_modules="all-linear"))
        trainer = make_trainer(3, *callbacks)
        trainer.fit(DEPOModule(policy, ObjectiveSettings(), OPTIMIZER), data)
        trained.append(weights(policy))
        model = policy.unload()
        assert ("val/success" in trainer.callback_metrics) == bool(callbacks)
    assert torch.equal(trained[0], trained[1])
    assert torch.equal(trained[0], trained[2])
    assert seen == [False] * 6  # 6 steps in 3 epochs: after steps 2, 4 and 6, then after each epoch


def test_faulty_settings_are_reported_together(model: LlamaForCausalLM) -> None:
    with pytest.raises(ConfigError) as caught:
        DEPOModule(model, ObjectiveSettings(beta=0.0, alpha1=-1.0), OptimizerSettings(lr=0.0, warmup=1.0))
    assert [fault.split("=")[0] for fault in caught.value.faults] == [
        "depo.beta",
        "depo.alpha1",
        "depo.lr",
        "depo.warmup",
    ]
    with pytest.raises(ConfigError, match=r"bc\.weight_decay"):
        BCModule(model, OptimizerSettings(lr=1e-3, weight_decay=-1.0))


def test_matrices_are_decayed_and_vectors_are_not(model: LlamaForCausalLM) -> None:
    settings = OptimizerSettings(lr=1e-3, weight_decay=0.1)
    optimizer = configure(parameter_groups(model, settings), settings, 10)["optimizer"]
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: decay[id(p)] for name, p in model.named_parameters()} == {
        name: 0.0 if "norm" in name else 0.1 for name, _ in model.named_parameters()
    }


@pytest.mark.slow
def test_z0_is_the_mean_over_all_ranks(model: LlamaForCausalLM, samples: list[PreferenceSample]) -> None:
    """The reference of trajectory i's pairs is lowered by i² nats, so each rank's batch alone gives another z0."""
    data = PreferenceData(samples, seed=0)
    true = compute_reference(model, data, 200)
    lowered = {key: [value - int(key) ** 2 for value in values] for key, values in true.pairs.items()}
    module = PreferenceDataModule(data, replace(true, pairs=lowered), Unit.step, batch_size=6, seed=0)
    trainer = pl.Trainer(
        max_steps=1,
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(DEPOModule(model, ObjectiveSettings(), OPTIMIZER), module)
    assert float(trainer.callback_metrics["z0"]) == pytest.approx(sum(i**2 for i in range(12)) / 12, abs=1e-3)
