"""Does grouping change where training arrives? One epoch of behaviour cloning on a third of the trees, by turns.

Grouped and ungrouped runs of one seed start from the same weights. Validation is on the successes of other trees, in
nats per agent token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device

from bench.grouping_data import SuccessData, successes
from bench.settings import Settings
from bench.table import Row
from depo_lightning.choices import Grouping
from depo_lightning.config import TinyConfig
from depo_lightning.data import Packing, SftDataModule
from depo_lightning.modules import OptimizerSettings, policy_logps
from depo_lightning.modules.optim import configure, parameter_groups
from depo_lightning.modules.scoring import score
from depo_lightning.objectives import bc_loss
from depo_lightning.stages import policies

BATCH_TOKENS = 1024
LEARNING_RATE = 3e-3
SEEDS = (0, 1, 2)
PACKING = Packing()


@dataclass(frozen=True)
class Outcome:
    """One training."""

    loss: float  # of validation, nats per agent token
    tokens: int  # that went through the model
    steps: int


def train(data: SuccessData, grouping: Grouping, batch_tokens: int, seed: int, device: str) -> Outcome:
    """One epoch with the default configuration's rate and warm-up."""
    model: Any = policies.new_model(TinyConfig(), data.tokenizer, seed)
    model.to(device).train()
    settings = OptimizerSettings(lr=LEARNING_RATE)
    module = SftDataModule(data.train, batch_tokens, seed, PACKING, grouping, data.train_tasks)
    plan = module.plan(np.random.default_rng(seed))
    configured = configure(parameter_groups(model, settings), settings, len(plan))
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    tokens = 0
    for indices in plan:
        batch = move_data_to_device(module.dataset[indices], device)
        tokens += sum(item.cost() for item in batch.passes)
        bc_loss(policy_logps(model, batch), batch.tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return Outcome(validate(model, data), tokens, len(plan))


def validate(model: torch.nn.Module, data: SuccessData) -> float:
    """Nats per agent token of the held-out trees' successes."""
    held = SftDataModule(data.held, 4096, 0, PACKING, Grouping.tree, data.held_tasks)
    batches = [held.dataset[indices] for indices in held.plan(np.random.default_rng(0))]
    scores = score(model, batches)
    return -sum(float(logps.sum()) for logps, _ in scores) / sum(batch.tokens for batch in batches)


def equal_tokens(data: SuccessData) -> int:
    """The `batch_tokens` at which a grouped batch computes as many tokens as an ungrouped one of BATCH_TOKENS."""

    def computed(grouping: Grouping, batch_tokens: int) -> float:
        module = SftDataModule(data.train, batch_tokens, 0, PACKING, grouping, data.train_tasks)
        plan = module.plan(np.random.default_rng(0))
        batches: list[Any] = [module.dataset[indices] for indices in plan]
        return sum(item.cost() for batch in batches for item in batch.passes) / len(batches)

    wanted, size = computed(Grouping.none, BATCH_TOKENS), BATCH_TOKENS
    for _ in range(3):
        size = round(size * wanted / computed(Grouping.tree, size))
    return size


def equal_steps(data: SuccessData) -> int:
    """The `batch_tokens` at which a grouped epoch has as many steps as an ungrouped one of BATCH_TOKENS."""
    plan = SftDataModule(data.train, BATCH_TOKENS, 0).plan(np.random.default_rng(0))
    return -(-sum(len(row.input_ids) for row in data.train) // len(plan))


def measure(settings: Settings) -> list[Row]:
    """Validation loss with and without grouping, at equal batch_tokens, computed tokens per batch, and steps."""
    torch.set_num_threads(settings.threads)
    data = successes(settings, share=0.02 if settings.quick else 1 / 3, held=0.02 if settings.quick else 0.1)
    sizes = {"batch_tokens": BATCH_TOKENS, "computed tokens": equal_tokens(data), "steps": equal_steps(data)}
    kinds = {"none": (Grouping.none, BATCH_TOKENS)} | {name: (Grouping.tree, size) for name, size in sizes.items()}
    found: dict[str, list[Outcome]] = {name: [] for name in kinds}
    for seed in SEEDS:
        for name, (grouping, batch_tokens) in kinds.items():
            found[name].append(train(data, grouping, batch_tokens, seed, settings.device))
    rows = []
    for name, size in sizes.items():
        pairs = list(zip(found[name], found["none"], strict=True))
        gaps = np.array([ours.loss - peer.loss for ours, peer in pairs])
        rows.append(
            Row(
                subject="grouping",
                what=f"BC, one epoch of {len(data.train)}, equal {name} ({size}): validation loss",
                unit="nats",
                ours=[ours.loss for ours, _ in pairs],
                peer=[peer.loss for _, peer in pairs],
                peer_name="not grouped",
                higher_is_better=False,
                note=f"difference {gaps.mean():+.4f} ± {gaps.std(ddof=1) / len(gaps) ** 0.5:.4f} over seeds; "
                f"tokens computed {sum(o.tokens for o, _ in pairs) / sum(p.tokens for _, p in pairs):.3f}×, "
                f"steps {pairs[0][0].steps} against {pairs[0][1].steps}",
            )
        )
    return rows
