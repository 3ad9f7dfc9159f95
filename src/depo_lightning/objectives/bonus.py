"""The efficiency bonus b(τ), and the forms in which it can enter the loss.

Source: DEPO, arXiv 2511.15392, Eq. 10 (bonus) and Eq. 11 (penalty on undesirable trajectories).
"""

from __future__ import annotations

import torch
from torch import Tensor

from depo_lightning.choices import EfficiencyForm


def efficiency_bonus(
    tokens_per_step: Tensor, steps: Tensor, desirable: Tensor, *, alpha1: float, alpha2: float
) -> Tensor:
    """b(τ) = α1 / T_token(τ) + α2 / T_step(τ) for τ in D, 0 for τ in U (DEPO, Eq. 10).

    Args:
        tokens_per_step: (B,) T_token, mean agent tokens per step of the trajectory, > 0.
        steps: (B,) T_step, number of agent turns of the trajectory, > 0.
        desirable: (B,) bool, True for D.
        alpha1: strength of the step-level term (few tokens per step).
        alpha2: strength of the trajectory-level term (few steps).

    Returns:
        (B,) bonus in nats of log-ratio, without gradient.
    """
    return torch.where(desirable, _efficiency(tokens_per_step, steps, alpha1, alpha2), 0.0)


def undesirable_penalty(
    tokens_per_step: Tensor, steps: Tensor, desirable: Tensor, *, alpha1: float, alpha2: float
) -> Tensor:
    """b(τ) = −(α1 / T_token(τ) + α2 / T_step(τ)) for τ in U, 0 for τ in D (DEPO, Eq. 11).

    Arguments and result as in `efficiency_bonus`. The paper finds the penalty harmful; it is an ablation.
    """
    return torch.where(desirable, 0.0, -_efficiency(tokens_per_step, steps, alpha1, alpha2))


def apply_efficiency(
    form: EfficiencyForm,
    tokens_per_step: Tensor,
    steps: Tensor,
    desirable: Tensor,
    *,
    alpha1: float,
    alpha2: float,
    penalty_strength: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The offset to the log-ratio and the weight of the loss that `form` gives every sample.

    Args:
        form: see `EfficiencyForm`.
        tokens_per_step, steps, desirable, alpha1, alpha2: as in `efficiency_bonus`.
        penalty_strength: factor on the penalty of U in the form UNDESIRABLE_PENALTY; 1 is the paper's "equal
            strength", 0 is DEPO. The other forms have no penalty, and ignore it.

    Returns:
        offset (B,): what `depo_loss` takes as `bonus`. weight (B,): factor on the sample's loss, beside λ_D and λ_U.
    """
    bonus = efficiency_bonus(tokens_per_step, steps, desirable, alpha1=alpha1, alpha2=alpha2)
    none, one = torch.zeros_like(bonus), torch.ones_like(bonus)
    match EfficiencyForm(form):
        case EfficiencyForm.depo:
            return bonus, one
        case EfficiencyForm.kto:
            return none, one
        case EfficiencyForm.undesirable_penalty:
            penalty = undesirable_penalty(tokens_per_step, steps, desirable, alpha1=alpha1, alpha2=alpha2)
            return bonus + penalty_strength * penalty, one
        case EfficiencyForm.margin:
            return -bonus, one
        case EfficiencyForm.weight:
            return none, 1.0 + bonus


def _efficiency(tokens_per_step: Tensor, steps: Tensor, alpha1: float, alpha2: float) -> Tensor:
    return (alpha1 / tokens_per_step + alpha2 / steps).detach()
