"""The preference objective put together: efficiency form, length weighting and DEPO loss, with its diagnostics."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from depo_lightning.objectives.bonus import EfficiencyForm, apply_efficiency
from depo_lightning.objectives.kto import depo_loss, gradient_weights, leverage
from depo_lightning.objectives.weights import token_weights


@dataclass(frozen=True, slots=True)
class ObjectiveSettings:
    """Strengths of the preference objective; the defaults are the paper's.

    Attributes:
        beta: β, per nat.
        desirable_weight: λ_D.
        undesirable_weight: λ_U.
        form: how efficiency enters the loss.
        alpha1: strength of 1 / T_token.
        alpha2: strength of 1 / T_step.
        penalty_strength: factor on the penalty of U, for the form undesirable_penalty only.
        token_weighting: weigh samples by 1 / tokens, see `token_weights`.
    """

    beta: float = 0.2
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    form: EfficiencyForm = EfficiencyForm.depo
    alpha1: float = 3.0
    alpha2: float = 3.0
    penalty_strength: float = 1.0
    token_weighting: bool = False

    def faults(self, prefix: str = "objective") -> list[str]:
        """One line for each field that breaks its rule."""
        found = []
        if not (math.isfinite(self.beta) and self.beta > 0):
            found.append(f"{prefix}.beta={self.beta}: must be above 0; the paper uses 0.2")
        for name in ("desirable_weight", "undesirable_weight", "alpha1", "alpha2", "penalty_strength"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                found.append(f"{prefix}.{name}={value}: must be a finite number, 0 or more")
        if self.desirable_weight == self.undesirable_weight == 0:
            found.append(f"{prefix}.desirable_weight and undesirable_weight are both 0: nothing would be trained")
        return found


@dataclass(frozen=True, slots=True)
class PreferenceTerms:
    """What one batch gives: the losses to average, and what to log about them; only `losses` carries a gradient."""

    losses: Tensor  # (B,)
    logratio: Tensor  # (B,) log π_θ − log π_ref, nats
    offset: Tensor  # (B,) what efficiency adds to the log-ratio
    weight: Tensor  # (B,) factor on the loss, without λ
    gradient_weight: Tensor  # (B,) |∂loss/∂logratio|, all factors included
    trajectory_tokens: Tensor  # (B,) agent tokens of the sample's trajectory
    desirable: Tensor  # (B,) bool

    def detached(self, count: int) -> PreferenceTerms:
        """The first `count` samples, without a gradient."""
        values = {field.name: getattr(self, field.name).detach()[:count] for field in fields(self)}
        return PreferenceTerms(**values)

    def rows(self) -> Tensor:
        """(B, 7), a row per sample, as other devices are told of them."""
        columns = [getattr(self, field.name) for field in fields(self)]
        return torch.stack([column.to(self.losses.dtype) for column in columns], dim=1)

    @classmethod
    def from_rows(cls, rows: Tensor) -> PreferenceTerms:
        """What `rows` gave."""
        values = dict(zip((field.name for field in fields(cls)), rows.T.contiguous(), strict=True))
        return cls(**{**values, "desirable": values["desirable"].bool()})

    def metrics(self, kl: Tensor, beta: float) -> dict[str, Tensor]:
        """Scalars to log. A class that the batch lacks has no entry.

        `bonus` is b with the sign with which the form adds it to the log-ratio; rewards are β · (log-ratio + b).
        """
        values = {"loss": self.losses.detach().mean(), "z0": kl}
        for name, mask in (("desirable", self.desirable), ("undesirable", ~self.desirable)):
            if mask.any():
                logratio, offset = self.logratio[mask].mean(), self.offset[mask].mean()
                values[f"logratio/{name}"] = logratio
                values[f"reward_with_beta/{name}"] = beta * (logratio + offset)
                values[f"bonus/{name}"] = offset
                values[f"sample_weight/{name}"] = self.weight[mask].mean()
                values[f"gradient_weight/{name}"] = self.gradient_weight[mask].mean()
        ratio = leverage(self.gradient_weight, self.trajectory_tokens, self.desirable)
        if not torch.isnan(ratio):
            values["leverage"] = ratio
        return values


def preference_terms(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    tokens_per_step: Tensor,
    steps: Tensor,
    sample_tokens: Tensor,
    kl: Tensor,
    settings: ObjectiveSettings,
) -> PreferenceTerms:
    """Losses and diagnostics of a batch of B samples.

    Args:
        policy_logps, ref_logps, desirable, kl: as in `depo_loss`.
        tokens_per_step: (B,) T_token of the sample's trajectory.
        steps: (B,) T_step of the sample's trajectory.
        sample_tokens: (B,) completion tokens of the sample itself: one step's, or the whole trajectory's.
        settings: strengths and form.
    """
    offset, weight = apply_efficiency(
        settings.form,
        tokens_per_step,
        steps,
        desirable,
        alpha1=settings.alpha1,
        alpha2=settings.alpha2,
        penalty_strength=settings.penalty_strength,
    )
    if settings.token_weighting:
        weight = weight * token_weights(sample_tokens, desirable)
    lambdas = {
        "beta": settings.beta,
        "desirable_weight": settings.desirable_weight,
        "undesirable_weight": settings.undesirable_weight,
    }
    slopes = weight * gradient_weights(policy_logps, ref_logps, desirable, offset, kl, **lambdas)
    return PreferenceTerms(
        losses=weight * depo_loss(policy_logps, ref_logps, desirable, offset, kl, **lambdas),
        logratio=(policy_logps - ref_logps).detach(),
        offset=offset,
        weight=weight,
        gradient_weight=slopes,
        trajectory_tokens=tokens_per_step * steps,
        desirable=desirable,
    )
