"""Trainings of a miniature model through `stages.training.fit`, as the stages do it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from peft import LoraConfig, get_peft_model

from depo_lightning.config import TrainerConfig
from depo_lightning.curves import read_curves
from depo_lightning.data import (
    Packing,
    PreferenceData,
    PreferenceDataModule,
    PreferenceSample,
    SftDataModule,
    Unit,
    compute_reference,
)
from depo_lightning.modules import BCModule, DEPOModule, OptimizerSettings
from depo_lightning.objectives import ObjectiveSettings
from depo_lightning.stages.training import fit

KINDS = ("bc", "depo")
OPTIMIZER = OptimizerSettings(lr=5e-3, warmup=0.1, weight_decay=0.1)


def train(
    kind: str,
    model: Any,
    samples: Sequence[PreferenceSample],
    target: Path,
    packing: Packing | None = None,
    callbacks: Sequence[pl.Callback] = (),
    dropout: float = 0.0,
    **trainer: Any,
) -> tuple[list[dict[str, float]], torch.Tensor]:
    """Three epochs of a copy of the model: what each step logged, and all weights at the end."""
    policy = deepcopy(model)
    if dropout:
        torch.manual_seed(0)
        policy = get_peft_model(policy, LoraConfig(r=4, lora_dropout=dropout, target_modules="all-linear"))
    data: pl.LightningDataModule
    module: pl.LightningModule
    if kind == "bc":
        data, module = SftDataModule(samples, 100, 0, packing), BCModule(policy, OPTIMIZER)
    else:
        pairs = PreferenceData(samples, kl_pairs=2, seed=0)
        reference = compute_reference(model, pairs, 200)
        data = PreferenceDataModule(pairs, reference, Unit.step, batch_size=5, seed=0, packing=packing)
        module = DEPOModule(policy, ObjectiveSettings(), OPTIMIZER)
    target.mkdir(exist_ok=True)
    settings = TrainerConfig(**{"threads": 1, **trainer})
    fit(module, data, target, settings, None, kind, epochs=3, seed=0, callbacks=callbacks)
    weights = torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])
    return [values for _, values in read_curves(target / "metrics.csv")], weights
