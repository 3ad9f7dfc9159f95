"""Parity with TRL: its own loss code on injected log-probabilities, against ours with α1 = α2 = 0."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from depo_lightning.objectives import depo_loss, efficiency_bonus, estimate_kl

trl = pytest.importorskip("trl")


class InjectedModel(torch.nn.Module):
    """Answers TRL's calls with log-probabilities that were given to it: rows of id 1 are mismatched pairs."""

    def __init__(self, logps: torch.Tensor, kl_logps: torch.Tensor) -> None:
        super().__init__()
        self.logps = torch.nn.Parameter(logps.clone())
        self.kl_logps = torch.nn.Parameter(kl_logps.clone())

    def forward(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        values = self.kl_logps if input_ids[0, 0] == 1 else self.logps
        filler = torch.zeros(len(values), 1)
        return SimpleNamespace(log_probs=values[:, None], entropy=filler, mean_logits=filler)


def trl_trainer(beta: float, desirable_weight: float, undesirable_weight: float) -> Any:
    """TRL's trainer with only what its loss reads."""
    trainer = object.__new__(trl.KTOTrainer)
    trainer.model = SimpleNamespace(training=True)
    trainer.accelerator = SimpleNamespace(
        device=torch.device("cpu"), gather_for_metrics=lambda value: value, autocast=nullcontext
    )
    trainer.args = SimpleNamespace(gradient_checkpointing=False, gradient_checkpointing_kwargs=None)
    trainer.beta, trainer.desirable_weight, trainer.undesirable_weight = beta, desirable_weight, undesirable_weight
    trainer.calculate_KL, trainer.precompute_ref_logps, trainer.loss_type = True, True, "kto"
    trainer.aux_loss_enabled = False
    trainer._metrics = {"train": defaultdict(list)}
    trainer._total_train_tokens, trainer._tp_size = 0, 1
    return trainer


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_gradient_equal_trl(seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)

    def normal(size: int, scale: float, mean: float) -> torch.Tensor:
        return torch.randn(size, generator=generator, dtype=dtype) * scale + mean

    size, pairs = 16, 10
    ref, ref_kl = normal(size, 10.0, -40.0), normal(pairs, 10.0, -60.0)
    policy, policy_kl = ref + normal(size, 5.0, 0.0), ref_kl + normal(pairs, 2.0, 1.0 if seed % 2 else -1.0)
    desirable = torch.rand(size, generator=generator) < 0.4
    strengths = {"beta": 0.2, "desirable_weight": 1.3, "undesirable_weight": 0.6}

    theirs = InjectedModel(policy, policy_kl)
    inputs = {
        "input_ids": torch.zeros(size, 2, dtype=torch.long),
        "attention_mask": torch.ones(size, 2, dtype=torch.long),
        "completion_mask": torch.tensor([[0, 1]] * size),
        "KL_input_ids": torch.ones(pairs, 2, dtype=torch.long),
        "KL_attention_mask": torch.ones(pairs, 2, dtype=torch.long),
        "KL_completion_mask": torch.tensor([[0, 1]] * pairs),
        "label": desirable,
        "ref_logps": ref,
        "ref_KL_logps": ref_kl,
    }
    trainer = trl_trainer(**strengths)
    their_loss = trainer._compute_loss(theirs, inputs, return_outputs=False)
    their_loss.backward()

    ours = policy.clone().requires_grad_()
    kl = estimate_kl(policy_kl, ref_kl)
    bonus = efficiency_bonus(torch.full((size,), 9.0), torch.full((size,), 4.0), desirable, alpha1=0.0, alpha2=0.0)
    our_loss = depo_loss(ours, ref, desirable, bonus, kl, **strengths).mean()
    our_loss.backward()

    assert 0 < int(desirable.sum()) < size
    assert kl.item() == pytest.approx(trainer._metrics["train"]["kl"][0], abs=1e-6)
    assert our_loss.item() == pytest.approx(their_loss.item(), abs=1e-6)
    assert torch.allclose(ours.grad, theirs.logps.grad, atol=1e-5, rtol=0)
    # the gradients themselves are of the order of 1e-3, so the tolerance of the contract alone would say little
    assert torch.allclose(ours.grad, theirs.logps.grad, rtol=1e-3)
    assert theirs.kl_logps.grad is None
