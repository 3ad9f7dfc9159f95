"""Mixed precision: what is trained keeps 32 bits, and the reference is scored as the policy computes."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.modules.miniature import train
from transformers import LlamaForCausalLM

from depo_lightning.config import LoraConfig, TrainerConfig
from depo_lightning.curves import read_curves
from depo_lightning.data import Packing, PreferenceData, PreferenceDataModule, PreferenceSample, Unit, compute_reference
from depo_lightning.modules import DEPOModule, OptimizerSettings
from depo_lightning.objectives import ObjectiveSettings
from depo_lightning.stages.policies import in_training_dtype, trainable
from depo_lightning.stages.training import computing, fit

MIX: dict[str, Any] = {"precision": "bf16-mixed"}
MIXED = TrainerConfig(**MIX, threads=1)


def test_layers_computed_again_give_the_same_training(
    model: LlamaForCausalLM, samples: list[PreferenceSample], tmp_path: Path
) -> None:
    (curves, weights), (expected, expected_weights) = (
        train("depo", model, samples, tmp_path / f"{again}", Packing(200), **MIX, gradient_checkpointing=again)
        for again in (True, False)
    )
    assert [row["grad_norm"] for row in curves] == pytest.approx([row["grad_norm"] for row in expected], rel=0.05)
    start = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    assert (weights - expected_weights).norm() < 0.05 * (expected_weights - start).norm()


@pytest.mark.parametrize("packing", [None, Packing(200)])
@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)])
def test_small_updates_count_and_the_policy_starts_at_the_reference(
    lora: LoraConfig | None,
    packing: Packing | None,
    model: LlamaForCausalLM,
    samples: list[PreferenceSample],
    tmp_path: Path,
) -> None:
    start = in_training_dtype(model.to(torch.bfloat16), lora)
    pairs = PreferenceData(samples, kl_pairs=1, seed=0)
    with computing(MIXED):
        reference = compute_reference(start, pairs, 200, packing=packing)
    policy = trainable(deepcopy(start), lora, seed=0)
    trained = {name: p.detach().clone() for name, p in policy.named_parameters() if p.requires_grad}
    assert {value.dtype for value in trained.values()} == {torch.float32}
    data = PreferenceDataModule(pairs, reference, Unit.step, 6, 0, packing)
    optimizer = OptimizerSettings(lr=2e-5, warmup=0.0)
    fit(DEPOModule(policy, ObjectiveSettings(), optimizer), data, tmp_path, MIXED, None, "depo", epochs=2, seed=0)
    after = dict(policy.named_parameters())
    moved = [(after[name] != before).float().mean() for name, before in trained.items()]
    assert min(moved) > 0.9
    first = next(values for _, values in read_curves(tmp_path / "metrics.csv"))
    assert abs(first["logratio/desirable"]) < 2e-3
    assert abs(first["logratio/undesirable"]) < 2e-3
