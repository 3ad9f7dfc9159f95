"""The objective put together: each form by scalar arithmetic, U's immunity, and the logged numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from depo_lightning.objectives import EfficiencyForm, ObjectiveSettings, PreferenceTerms, preference_terms

POLICY = [-20.0, -31.0, -8.0, -40.0, -12.0]
REF = [-22.0, -30.0, -9.0, -38.0, -12.5]
DESIRABLE = [True, False, True, False, True]
TOKENS = [40.0, 25.0, 10.0, 60.0, 20.0]
STEPS = [4.0, 6.0, 2.0, 9.0, 3.0]
Z0 = 0.3
SETTINGS = ObjectiveSettings(beta=0.2, desirable_weight=1.0, undesirable_weight=0.3, alpha1=3.0, alpha2=2.0)


def terms(settings: ObjectiveSettings, policy: torch.Tensor | None = None) -> PreferenceTerms:
    def double(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64)

    policy = double(POLICY) if policy is None else policy
    return preference_terms(
        policy,
        double(REF),
        torch.tensor(DESIRABLE),
        double(TOKENS),
        double(STEPS),
        double(TOKENS),
        double([Z0])[0],
        settings,
    )


def by_hand(form: EfficiencyForm) -> list[float]:
    def sigma(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    losses = []
    for policy, ref, good, tokens, steps in zip(POLICY, REF, DESIRABLE, TOKENS, STEPS, strict=True):
        b, logratio = 3.0 / tokens + 2.0 / steps, policy - ref
        sign = {"depo": b, "kto": 0.0, "undesirable_penalty": b, "margin": -b, "weight": 0.0}[form]
        if good:
            weight = 1 + b if form == "weight" else 1.0
            losses.append(weight * (1 - sigma(0.2 * (logratio + sign - Z0))))
        else:
            penalty = b if form == "undesirable_penalty" else 0.0
            losses.append(0.3 * (1 - sigma(0.2 * (Z0 - (logratio - penalty)))))
    return losses


@pytest.mark.parametrize("form", list(EfficiencyForm))
def test_losses_of_each_form_match_the_scalar_oracle(form: EfficiencyForm) -> None:
    assert terms(replace(SETTINGS, form=form)).losses.tolist() == pytest.approx(by_hand(form), abs=1e-12)


@pytest.mark.parametrize("form", list(EfficiencyForm))
def test_alpha_zero_is_kto_in_each_form(form: EfficiencyForm) -> None:
    ours = terms(replace(SETTINGS, form=form, alpha1=0.0, alpha2=0.0)).losses
    assert ours.tolist() == pytest.approx(by_hand(EfficiencyForm.kto), abs=1e-14)


@pytest.mark.parametrize("form", sorted(set(EfficiencyForm) - {EfficiencyForm.undesirable_penalty}))
def test_alpha_moves_d_and_never_u(form: EfficiencyForm) -> None:
    undesirable = ~torch.tensor(DESIRABLE)
    plain, strong = terms(replace(SETTINGS, form=EfficiencyForm.kto)), terms(replace(SETTINGS, form=form, alpha2=5.0))
    assert torch.equal(plain.losses[undesirable], strong.losses[undesirable])
    if form != EfficiencyForm.kto:
        assert (plain.losses != strong.losses)[~undesirable].all()


@pytest.mark.parametrize("form", list(EfficiencyForm))
@pytest.mark.parametrize("token_weighting", [False, True])
def test_gradient_weights_are_the_gradient(form: EfficiencyForm, token_weighting: bool) -> None:
    policy = torch.tensor(POLICY, dtype=torch.float64, requires_grad=True)
    result = terms(replace(SETTINGS, form=form, token_weighting=token_weighting), policy)
    (gradient,) = torch.autograd.grad(result.losses.sum(), policy)
    assert torch.allclose(gradient.abs(), result.gradient_weight, atol=1e-12)


def test_token_weighting_scales_the_losses() -> None:
    plain, weighted = terms(SETTINGS), terms(replace(SETTINGS, token_weighting=True))
    inverse = [1 / tokens for tokens in TOKENS]
    mean_d = (inverse[0] + inverse[2] + inverse[4]) / 3
    mean_u = (inverse[1] + inverse[3]) / 2
    factors = [value / (mean_d if good else mean_u) for value, good in zip(inverse, DESIRABLE, strict=True)]
    assert (weighted.losses / plain.losses).tolist() == pytest.approx(factors)


def test_metrics() -> None:
    result = terms(SETTINGS)
    values = {key: float(value) for key, value in result.metrics(torch.tensor(Z0), 0.2).items()}
    bonus = sum(3 / TOKENS[i] + 2 / STEPS[i] for i in (0, 2, 4)) / 3
    assert values["loss"] == pytest.approx(sum(by_hand(EfficiencyForm.depo)) / 5)
    assert values["z0"] == pytest.approx(Z0)
    assert values["logratio/desirable"] == pytest.approx((2.0 + 1.0 + 0.5) / 3)
    assert values["logratio/undesirable"] == pytest.approx(-1.5)
    assert values["bonus/desirable"] == pytest.approx(bonus)
    assert values["bonus/undesirable"] == 0.0
    assert values["reward_with_beta/desirable"] == pytest.approx(0.2 * (3.5 / 3 + bonus))
    # agent tokens of D: 160, 20, 60; thirds are the samples 2 and 0
    assert values["leverage"] == pytest.approx(float(result.gradient_weight[2] / result.gradient_weight[0]))


def test_metrics_of_an_absent_class_are_absent() -> None:
    one = torch.ones(2)
    result = preference_terms(one, one, torch.tensor([True, True]), one, one, one, torch.tensor(0.0), SETTINGS)
    metrics = result.metrics(torch.tensor(0.0), 0.2)
    assert not [key for key in metrics if "undesirable" in key or key == "leverage"]
    assert all(torch.isfinite(value) for value in metrics.values())


def test_faults_name_every_field_at_once() -> None:
    assert ObjectiveSettings().faults() == []
    faults = ObjectiveSettings(beta=0.0, alpha1=-1.0, alpha2=math.nan).faults("depo")
    assert [fault.split("=")[0] for fault in faults] == ["depo.beta", "depo.alpha1", "depo.alpha2"]
    assert len(ObjectiveSettings(desirable_weight=0.0, undesirable_weight=0.0).faults()) == 1
