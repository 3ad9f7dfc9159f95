"""AdamW with linear warm-up and cosine decay, shared by the modules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """Learning rate and schedule.

    Attributes:
        lr: peak learning rate.
        warmup: fraction of all optimizer steps over which the rate rises from 0; it then falls to 0 as a cosine.
        weight_decay: decoupled decay of matrices; vectors (norms, biases) are never decayed.
    """

    lr: float
    warmup: float = 0.05
    weight_decay: float = 0.0

    def faults(self, prefix: str = "optimizer") -> list[str]:
        """One line for each field that breaks its rule."""
        found = []
        if not (math.isfinite(self.lr) and self.lr > 0):
            found.append(f"{prefix}.lr={self.lr}: must be above 0")
        if not 0 <= self.warmup < 1:
            found.append(f"{prefix}.warmup={self.warmup}: is a fraction of all steps; must be in [0, 1)")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            found.append(f"{prefix}.weight_decay={self.weight_decay}: must be 0 or more")
        return found


def parameter_groups(model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """The trainable parameters as an optimizer takes them, by their weight decay."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def configure(groups: list[dict[str, Any]], settings: OptimizerSettings, total_steps: int) -> dict[str, Any]:
    """What `LightningModule.configure_optimizers` returns, for a training of `total_steps` optimizer steps."""
    optimizer = torch.optim.AdamW([dict(group) for group in groups], lr=settings.lr)
    warmup_steps = math.ceil(settings.warmup * total_steps)
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup_steps, total_steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Euclidean norm of all gradients together, (), before any clipping."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
