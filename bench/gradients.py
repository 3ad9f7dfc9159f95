"""What each trajectory adds to a batch's gradient, so that the variance of any batches can be told from sums.

A batch's gradient is (Σ hᵢ + (z − z*) Σ kᵢ) / Σ nᵢ over its trajectories: hᵢ is the sum of the gradients of trajectory
i's samples at the reference point z* of all data, kᵢ its derivative by the reference point, nᵢ the number of samples. z
is the batch's own reference point; the expansion leaves out (z − z*)². Behaviour cloning has no z, and n counts agent
tokens.
Gradients are kept as a count sketch, whose inner products are right to about √(2 / SKETCH).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device
from torch import Tensor

from depo_lightning.data import SftDataModule
from depo_lightning.data.preference import PreferenceDataset
from depo_lightning.modules import ObjectiveSettings, policy_logps
from depo_lightning.modules.policy import preference_logps
from depo_lightning.objectives import estimate_kl, preference_terms

SKETCH = 4096  # numbers that stand for a gradient
_STEP = 1e-2  # nats, for the derivative by the reference point; double precision


@dataclass(frozen=True)
class Contributions:
    """Of T trajectories, all float64.

    Attributes:
        gradients: (T, SKETCH) hᵢ.
        slopes: (T, SKETCH) kᵢ.
        counts: (T,) nᵢ.
        mismatched: (T,) mean log-ratio of the trajectory's mismatched pairs, nats.
    """

    gradients: np.ndarray
    slopes: np.ndarray
    counts: np.ndarray
    mismatched: np.ndarray

    def gradient(self, rows: np.ndarray) -> np.ndarray:
        """Of the batch that holds these trajectories."""
        shift = max(0.0, self.mismatched[rows].mean()) - max(0.0, self.mismatched.mean())
        total = self.gradients[rows].sum(0) + shift * self.slopes[rows].sum(0)
        return total / self.counts[rows].sum()

    def variance(self, batches: Sequence[np.ndarray]) -> float:
        """Mean ‖g − G‖² / ‖G‖² over batches; G is the gradient of all trajectories together."""
        full = self.gradient(np.arange(len(self.counts)))
        errors = [((self.gradient(rows) - full) ** 2).sum() for rows in batches]
        return float(np.mean(errors) / (full**2).sum())


class _Sketch:
    """Projects gradients of the trainable parameters."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        size = sum(parameter.numel() for parameter in self.parameters)
        rng = np.random.default_rng(0)
        device = self.parameters[0].device
        self.bucket = torch.from_numpy(rng.integers(0, SKETCH, size)).to(device)
        self.sign = torch.from_numpy(rng.choice(np.array([-1.0, 1.0], dtype=np.float32), size)).to(device)

    def __call__(self, outputs: Tensor, weights: Tensor) -> np.ndarray:
        """(SKETCH,) gradient of Σ weights · outputs."""
        found = torch.autograd.grad(outputs, self.parameters, weights, materialize_grads=True)
        flat = torch.cat([gradient.flatten() for gradient in found]) * self.sign
        return flat.new_zeros(SKETCH).index_add_(0, self.bucket, flat).double().cpu().numpy()


def supervised(model: Any, module: SftDataModule) -> Contributions:
    """Of behaviour cloning, at the model's weights."""
    sketch, device = _Sketch(model), next(model.parameters()).device
    gradients, counts = [], []
    for row in range(len(module.dataset)):
        batch = move_data_to_device(module.dataset[np.array([row])], device)
        logps = policy_logps(model, batch)
        gradients.append(sketch(logps, -torch.ones_like(logps)))
        counts.append(batch.tokens)
    none = np.zeros(len(counts))
    return Contributions(np.array(gradients), np.zeros((len(counts), SKETCH)), np.array(counts, dtype=float), none)


def preference(model: Any, dataset: PreferenceDataset, objective: ObjectiveSettings) -> Contributions:
    """Of preference training, at the model's weights."""
    sketch, device = _Sketch(model), next(model.parameters()).device
    rows = range(len(dataset))
    batches = [move_data_to_device(dataset[np.array([row])], device) for row in rows]
    with torch.no_grad():
        ratios = [(preference_logps(model, batch)[1] - batch.ref_kl_logps).double().mean().item() for batch in batches]
    centre = max(0.0, float(np.mean(ratios)))
    gradients, slopes, counts = [], [], []
    for batch in batches:
        logps, _ = preference_logps(model, batch)
        at, above = (_weights(logps, batch, centre + step, objective) for step in (0.0, _STEP))
        gradients.append(sketch(logps, at.to(logps)))
        again, _ = preference_logps(model, batch)  # a packed pass keeps its graph for one gradient only
        slopes.append(sketch(again, ((above - at) / _STEP).to(logps)))
        counts.append(float(len(logps)))
    return Contributions(np.array(gradients), np.array(slopes), np.array(counts), np.array(ratios))


def _weights(logps: Tensor, batch: Any, z0: float, objective: ObjectiveSettings) -> Tensor:
    """∂(sum of losses) / ∂logps with a given reference point, in double precision."""
    free = logps.detach().double().requires_grad_(True)
    terms = preference_terms(
        free,
        batch.ref_logps.double(),
        batch.desirable,
        batch.tokens_per_step.double(),
        batch.steps.double(),
        batch.sample_tokens.double(),
        free.new_tensor(z0),
        objective,
    )
    return torch.autograd.grad(terms.losses.sum(), free)[0]


def training_loss(model: Any, batch: Any, objective: ObjectiveSettings) -> Tensor:
    """The mean loss of a batch with its own reference point, as the training stage has it."""
    logps, mismatched = preference_logps(model, batch)
    kl = estimate_kl(mismatched, batch.ref_kl_logps)
    efficiency = (batch.tokens_per_step, batch.steps, batch.sample_tokens)
    return preference_terms(logps, batch.ref_logps, batch.desirable, *efficiency, kl, objective).losses.mean()
