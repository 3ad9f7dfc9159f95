"""DEPO loss: float64 scalar oracle, gradients, and the properties that define it."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch

from depo_lightning.objectives import depo_loss, efficiency_bonus, estimate_kl, gradient_weights, leverage

SETTINGS = {"beta": 0.2, "desirable_weight": 1.3, "undesirable_weight": 0.4}


def random_batch(seed: int, size: int = 12) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    policy = torch.randn(size, generator=generator, dtype=torch.float64) * 20 - 30
    desirable = torch.rand(size, generator=generator) < 0.5
    tokens = torch.randint(3, 80, (size,), generator=generator).double()
    steps = torch.randint(1, 20, (size,), generator=generator).double()
    return {
        "policy_logps": policy,
        "ref_logps": policy + torch.randn(size, generator=generator, dtype=torch.float64) * 6,
        "desirable": desirable,
        "bonus": efficiency_bonus(tokens, steps, desirable, alpha1=3.0, alpha2=3.0),
        "kl": torch.tensor(0.7, dtype=torch.float64),
    }


def loss_by_hand(batch: dict[str, Any], beta: float, desirable_weight: float, undesirable_weight: float) -> list[float]:
    """KTO Eq. 7 and 8 with DEPO Eq. 9, one float after the other."""
    losses = []
    for policy, ref, good, bonus in zip(
        *(batch[key].tolist() for key in ("policy_logps", "ref_logps", "desirable", "bonus")), strict=True
    ):
        reward, z0 = policy - ref + bonus, batch["kl"].item()
        if good:
            losses.append(desirable_weight * (1 - 1 / (1 + math.exp(-beta * (reward - z0)))))
        else:
            losses.append(undesirable_weight * (1 - 1 / (1 + math.exp(-beta * (z0 - reward)))))
    return losses


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beta", [0.05, 0.2, 1.0])
def test_loss_matches_the_scalar_oracle(seed: int, beta: float) -> None:
    batch = random_batch(seed)
    expected = loss_by_hand(batch, beta, 1.3, 0.4)
    ours = depo_loss(**batch, beta=beta, desirable_weight=1.3, undesirable_weight=0.4)
    assert ours.tolist() == pytest.approx(expected, abs=1e-12)


def test_gradient_passes_gradcheck_and_stops_at_everything_but_the_policy() -> None:
    batch = random_batch(1)
    policy = batch.pop("policy_logps").requires_grad_()
    assert torch.autograd.gradcheck(lambda logps: depo_loss(logps, **batch, **SETTINGS), policy)
    others = {key: batch[key].clone().requires_grad_() for key in ("ref_logps", "bonus", "kl")}
    depo_loss(policy, desirable=batch["desirable"], **others, **SETTINGS).sum().backward()
    assert policy.grad is not None
    assert all(tensor.grad is None for tensor in others.values())


@pytest.mark.parametrize("seed", range(5))
def test_derivative_is_lambda_beta_sigma_prime(seed: int) -> None:
    batch = random_batch(seed)
    policy = batch["policy_logps"].requires_grad_()
    (gradient,) = torch.autograd.grad(depo_loss(**batch, **SETTINGS).sum(), policy)
    weights = gradient_weights(**batch, **SETTINGS)
    assert torch.allclose(weights, gradient.abs(), atol=1e-12)
    assert (gradient.sign() == torch.where(batch["desirable"], -1.0, 1.0)).all()
    for index, value in enumerate(gradient.tolist()):
        good = bool(batch["desirable"][index])
        reward = (batch["policy_logps"] - batch["ref_logps"] + batch["bonus"])[index].item()
        sigma = 1 / (1 + math.exp(-SETTINGS["beta"] * (reward - 0.7)))
        scale = SETTINGS["desirable_weight"] if good else -SETTINGS["undesirable_weight"]
        assert value == pytest.approx(-scale * SETTINGS["beta"] * sigma * (1 - sigma), abs=1e-12)


def test_alpha_zero_is_kto() -> None:
    batch = random_batch(2)
    zero = efficiency_bonus(torch.ones(12), torch.ones(12), batch["desirable"], alpha1=0.0, alpha2=0.0)
    logratio = batch["policy_logps"] - batch["ref_logps"]
    kto = torch.where(
        batch["desirable"], 1 - torch.sigmoid(0.2 * (logratio - 0.7)), 1 - torch.sigmoid(0.2 * (0.7 - logratio))
    )
    ours = depo_loss(**{**batch, "bonus": zero}, beta=0.2)
    assert torch.allclose(ours, kto, atol=1e-14)
    assert not torch.allclose(depo_loss(**batch, beta=0.2), kto, atol=1e-4)


def test_the_bonus_lowers_the_loss_of_d_and_leaves_u_alone() -> None:
    batch = random_batch(3)
    plain = depo_loss(**{**batch, "bonus": torch.zeros(12)}, beta=0.2)
    with_bonus = depo_loss(**batch, beta=0.2)
    desirable = batch["desirable"]
    assert (with_bonus[desirable] < plain[desirable]).all()
    assert torch.equal(with_bonus[~desirable], plain[~desirable])


def test_order_of_samples_does_not_matter() -> None:
    batch = random_batch(4)
    order = torch.randperm(12)
    shuffled = {key: value[order] if value.ndim else value for key, value in batch.items()}
    assert torch.equal(depo_loss(**shuffled, **SETTINGS), depo_loss(**batch, **SETTINGS)[order])


def test_gradient_weight_is_even_around_the_reference_point() -> None:
    distance = torch.linspace(0.0, 40.0, 50, dtype=torch.float64)
    args = {"desirable": torch.ones(50, dtype=torch.bool), "bonus": torch.zeros(50), "kl": 2.0, "beta": 0.2}
    right = gradient_weights(2.0 + distance, torch.zeros(50), **args)
    left = gradient_weights(2.0 - distance, torch.zeros(50), **args)
    assert torch.allclose(left, right, atol=1e-14)
    assert (right.diff() < 0).all()
    assert right[0] == pytest.approx(0.2 / 4)


def test_loss_keeps_its_digits_far_from_the_reference_point() -> None:
    loss = depo_loss(torch.tensor([200.0]), torch.tensor([0.0]), torch.tensor([True]), torch.zeros(1), 0.0, beta=0.2)
    assert loss.item() == pytest.approx(math.exp(-40), rel=1e-5)


def test_leverage_of_thirds() -> None:
    cost = torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 5.0])
    weights = torch.tensor([1.0, 3.0, 9.0, 9.0, 4.0, 6.0, 100.0])
    desirable = torch.tensor([True] * 6 + [False])
    assert leverage(weights, cost, desirable).item() == pytest.approx((1 + 3) / (4 + 6))
    order = torch.tensor(random.Random(0).sample(range(7), 7))
    assert leverage(weights[order], cost[order], desirable[order]) == leverage(weights, cost, desirable)


def test_leverage_of_ties_and_of_too_few() -> None:
    desirable = torch.ones(4, dtype=torch.bool)
    assert leverage(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.full((4,), 7.0), desirable) == 1.0
    assert torch.isnan(leverage(torch.ones(4), torch.ones(4), torch.tensor([True, True, False, False])))


def test_paper_alpha_moves_the_gradient_by_under_one_percent() -> None:
    """β = 0.2, b = 0.825 at the start of training: the figure of the method notes."""
    args = (torch.zeros(1), torch.zeros(1), torch.tensor([True]))
    ratio = gradient_weights(*args, torch.tensor([0.825]), 0.0, beta=0.2) / gradient_weights(
        *args, torch.zeros(1), 0.0, beta=0.2
    )
    assert 0.99 < ratio.item() < 1.0


def test_z0_is_the_clamped_mean_without_gradient() -> None:
    policy = torch.tensor([-3.0, -1.0, -2.0], requires_grad=True)
    z0 = estimate_kl(policy, torch.tensor([-4.0, -1.5, -2.9]))
    assert z0.item() == pytest.approx((1.0 + 0.5 + 0.9) / 3)
    assert not z0.requires_grad
    assert estimate_kl(policy, torch.zeros(3)).item() == 0.0


def test_z0_over_ranks_weighs_every_pair_the_same() -> None:
    """Another rank holds one pair with difference 7."""
    z0 = estimate_kl(torch.tensor([1.0, 2.0]), torch.zeros(2), lambda local: local + torch.tensor([7.0, 1.0]))
    assert z0.item() == pytest.approx((1 + 2 + 7) / 3)
