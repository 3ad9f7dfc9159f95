"""The DEPO loss, which is KTO with an offset, its reference point z0, and what the offset does to the gradient.

Sources: KTO, Ethayarajh et al. 2024, arXiv 2402.01306, Eq. 7 and 8; DEPO, arXiv 2511.15392, Eq. 9.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FEWEST_FOR_THIRDS = 3


def depo_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    bonus: Tensor,
    kl: Tensor | float,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """KTO's loss on the log-ratio plus bonus, one value per sample.

        r_θ  = policy_logps − ref_logps + bonus               (DEPO, Eq. 9)
        loss = λ_D · (1 − σ(β (r_θ − z0)))   for D
               λ_U · (1 − σ(β (z0 − r_θ)))   for U            (KTO, Eq. 7 and 8)

    A bonus of 0 is exactly KTO. The gradient reaches `policy_logps` only: it stops at `ref_logps`, `bonus` and `kl`.

    Args:
        policy_logps: (B,) log π_θ(completion | prompt), summed over the completion's tokens.
        ref_logps: (B,) the same under the reference policy π_BC.
        desirable: (B,) bool, True for D.
        bonus: (B,) offset in nats. DEPO's is 0 on U (`efficiency_bonus` sees to that); what stands here is applied
            to both classes, since the penalty of Eq. 11 is an offset on U.
        kl: () z0, see `estimate_kl`.
        beta: β > 0, per nat.
        desirable_weight: λ_D.
        undesirable_weight: λ_U.

    Returns:
        (B,) losses in [0, λ], not reduced.
    """
    argument = _argument(policy_logps, ref_logps, desirable, bonus, kl, beta)
    # 1 − σ(x) = σ(−x), which keeps its digits where σ(x) is close to 1
    return _class_weight(desirable, desirable_weight, undesirable_weight, policy_logps) * torch.sigmoid(-argument)


def gradient_weights(
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    bonus: Tensor,
    kl: Tensor | float,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """|∂loss/∂logratio| = λ β σ'(β (r_θ − z0)) of every sample, (B,), without gradient; arguments as in `depo_loss`.

    σ' is even and largest at 0: an offset of either sign only moves a sample away from, or towards, the place where
    it weighs most.
    """
    slope = torch.sigmoid(_argument(policy_logps.detach(), ref_logps, desirable, bonus, kl, beta))
    return _class_weight(desirable, desirable_weight, undesirable_weight, policy_logps) * beta * slope * (1.0 - slope)


def leverage(weights: Tensor, trajectory_tokens: Tensor, desirable: Tensor) -> Tensor:
    """Mean gradient weight of the most efficient third of D over that of the least efficient third.

    Efficiency is the trajectory's total agent tokens, T_token · T_step: the one number in which both terms of the
    bonus meet. A third is ⌊n/3⌋ samples and whatever ties with its last one, so the order of samples does not matter.

    Args:
        weights: (B,) gradient weights.
        trajectory_tokens: (B,) agent tokens of the sample's trajectory.
        desirable: (B,) bool.

    Returns:
        () the ratio; 1 where efficiency has no influence, NaN for fewer than three samples of D.
    """
    weights, cost = weights[desirable], trajectory_tokens[desirable]
    if len(cost) < FEWEST_FOR_THIRDS:
        return weights.new_tensor(float("nan"))
    ordered, third = cost.sort().values, len(cost) // 3
    efficient, wasteful = cost <= ordered[third - 1], cost >= ordered[-third]
    return weights[efficient].mean() / weights[wasteful].mean()


def estimate_kl(
    policy_logps: Tensor, ref_logps: Tensor, total: Callable[[Tensor], Tensor] = lambda local: local
) -> Tensor:
    """z0 = max(0, mean of log π_θ(y'|x) − log π_BC(y'|x)) over mismatched pairs, without gradient.

    Args:
        policy_logps: (K,) log-probabilities of completions y' that belong to another x.
        ref_logps: (K,) the same under the reference policy.
        total: sums a (2,) tensor over all ranks; the ranks may hold different numbers of pairs.

    Returns:
        () z0 in nats.
    """
    difference = (policy_logps - ref_logps).detach()
    summed, count = total(torch.stack([difference.sum(), difference.new_tensor(float(len(difference)))])).unbind()
    return (summed / count).clamp(min=0.0)


def _argument(
    policy_logps: Tensor, ref_logps: Tensor, desirable: Tensor, bonus: Tensor, kl: Tensor | float, beta: float
) -> Tensor:
    """β (r_θ − z0) for D, β (z0 − r_θ) for U; (B,)."""
    shift = ref_logps.detach() - bonus.detach() + (kl.detach() if isinstance(kl, Tensor) else kl)
    margin = beta * (policy_logps - shift)
    return torch.where(desirable, margin, -margin)


def _class_weight(desirable: Tensor, desirable_weight: float, undesirable_weight: float, like: Tensor) -> Tensor:
    return torch.where(desirable, like.new_tensor(desirable_weight), like.new_tensor(undesirable_weight))
