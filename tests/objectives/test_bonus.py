"""Efficiency bonus: scalar oracle, class rule, and what each form hands to the loss."""

from __future__ import annotations

import math

import pytest
import torch

from depo_lightning.objectives import EfficiencyForm, apply_efficiency, efficiency_bonus, undesirable_penalty

TOKENS = [40.0, 12.5, 7.0, 101.0]
STEPS = [4.0, 9.0, 1.0, 30.0]
DESIRABLE = [True, False, True, False]


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.tensor(TOKENS).double(), torch.tensor(STEPS).double(), torch.tensor(DESIRABLE)


def by_hand(alpha1: float, alpha2: float) -> list[float]:
    return [alpha1 / tokens + alpha2 / steps for tokens, steps in zip(TOKENS, STEPS, strict=True)]


@pytest.mark.parametrize(("alpha1", "alpha2"), [(3.0, 3.0), (0.0, 2.0), (1.5, 0.0)])
def test_bonus_and_penalty_match_the_equations(alpha1: float, alpha2: float) -> None:
    bonus = efficiency_bonus(*batch(), alpha1=alpha1, alpha2=alpha2).tolist()
    penalty = undesirable_penalty(*batch(), alpha1=alpha1, alpha2=alpha2).tolist()
    for index, value in enumerate(by_hand(alpha1, alpha2)):
        assert bonus[index] == pytest.approx(value if DESIRABLE[index] else 0.0, abs=1e-15)
        assert penalty[index] == pytest.approx(0.0 if DESIRABLE[index] else -value, abs=1e-15)


def test_bonus_of_the_worked_example() -> None:
    """40 tokens per step, 4 steps, α = 3: 3/40 + 3/4."""
    bonus = efficiency_bonus(torch.tensor([40.0]), torch.tensor([4.0]), torch.tensor([True]), alpha1=3.0, alpha2=3.0)
    assert bonus.item() == pytest.approx(0.825)


def test_bonus_falls_with_tokens_and_with_steps() -> None:
    counts = torch.arange(1.0, 50.0)
    all_desirable = torch.ones(49, dtype=torch.bool)
    for tokens, steps in ((counts, torch.full_like(counts, 5.0)), (torch.full_like(counts, 5.0), counts)):
        assert (efficiency_bonus(tokens, steps, all_desirable, alpha1=1.0, alpha2=1.0).diff() < 0).all()


def test_offset_and_weight_of_each_form() -> None:
    value = by_hand(3.0, 2.0)
    on_d = [v if d else 0.0 for v, d in zip(value, DESIRABLE, strict=True)]
    on_u = [0.0 if d else v for v, d in zip(value, DESIRABLE, strict=True)]
    one, none = [1.0] * 4, [0.0] * 4
    expected = {
        EfficiencyForm.depo: (on_d, one),
        EfficiencyForm.kto: (none, one),
        EfficiencyForm.undesirable_penalty: ([d - 0.5 * u for d, u in zip(on_d, on_u, strict=True)], one),
        EfficiencyForm.margin: ([-d for d in on_d], one),
        EfficiencyForm.weight: (none, [1.0 + d for d in on_d]),
    }
    assert set(expected) == set(EfficiencyForm)
    for form, (offset, weight) in expected.items():
        ours = apply_efficiency(form, *batch(), alpha1=3.0, alpha2=2.0, penalty_strength=0.5)
        assert ours[0].tolist() == pytest.approx(offset), form
        assert ours[1].tolist() == pytest.approx(weight), form


@pytest.mark.parametrize("form", list(EfficiencyForm))
def test_alpha_zero_changes_nothing_in_any_form(form: EfficiencyForm) -> None:
    offset, weight = apply_efficiency(form, *batch(), alpha1=0.0, alpha2=0.0)
    assert offset.abs().max() == 0.0
    assert (weight == 1.0).all()


def test_penalty_strength_one_is_of_equal_strength() -> None:
    tokens, steps = torch.tensor([10.0, 10.0]), torch.tensor([5.0, 5.0])
    offset, _ = apply_efficiency(
        EfficiencyForm.undesirable_penalty, tokens, steps, torch.tensor([True, False]), alpha1=3.0, alpha2=3.0
    )
    assert offset[0] == -offset[1] > 0


def test_the_bonus_carries_no_gradient() -> None:
    tokens = torch.tensor([10.0], requires_grad=True)
    bonus = efficiency_bonus(tokens, torch.tensor([5.0]), torch.tensor([True]), alpha1=1.0, alpha2=1.0)
    assert not bonus.requires_grad
    assert math.isfinite(bonus.item())
