"""Sums over trajectories give the gradient that autograd gives for the whole batch."""

from __future__ import annotations

import numpy as np
import torch
from bench.gradients import _Sketch, preference, supervised, training_loss
from transformers import LlamaConfig, LlamaForCausalLM

from depo_lightning.choices import EfficiencyForm, Unit
from depo_lightning.data import (
    Packing,
    PreferenceData,
    PreferenceDataModule,
    PreferenceSample,
    SftDataModule,
    compute_reference,
)
from depo_lightning.modules import ObjectiveSettings, policy_logps
from depo_lightning.objectives import bc_loss


def model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=20, initializer_range=0.3, **shape)).train()


def samples() -> list[PreferenceSample]:
    rng = np.random.default_rng(0)
    made = []
    for index in range(8):
        ids = rng.integers(0, 20, 12 + 4 * (index % 2)).tolist()
        spans = [(3, 5), (9, 12)] + ([(13, 16)] if index % 2 else [])
        made.append(PreferenceSample(str(index), ids, spans, index % 3 == 0, f"task {index // 2}"))
    return made


def test_preference_batches_are_sums_of_trajectories_with_their_own_reference_point() -> None:
    data, policy = PreferenceData(samples()), model(0)
    reference = compute_reference(policy, data, 64)
    with torch.no_grad():  # near the reference, where z0 differs little from batch to batch
        for parameter in policy.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    module = PreferenceDataModule(data, reference, Unit.step, 4, 0, Packing())
    kto = ObjectiveSettings(form=EfficiencyForm.kto)
    found = preference(policy, module.dataset, kto)
    sketch = _Sketch(policy)
    assert found.mismatched.std() > 0.01
    for rows in (np.arange(8), np.array([0, 1, 5]), np.array([2, 3, 6, 7])):
        loss = training_loss(policy, module.dataset[rows], kto)
        expected = sketch(loss, torch.ones_like(loss))
        assert np.linalg.norm(found.gradient(rows) - expected) < 1e-3 * np.linalg.norm(expected)
    assert found.variance([np.arange(8)]) == 0


def test_cloning_batches_are_sums_of_conversations() -> None:
    policy = model(1)
    module = SftDataModule(samples(), 64, 0, Packing())
    found = supervised(policy, module)
    rows = np.array([0, 1, 5])
    batch = module.dataset[rows]
    loss = bc_loss(policy_logps(policy, batch), batch.tokens)
    expected = _Sketch(policy)(loss, torch.ones_like(loss))
    assert np.linalg.norm(found.gradient(rows) - expected) < 1e-4 * np.linalg.norm(expected)
