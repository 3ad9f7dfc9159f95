"""Is it worth letting the trajectories of one search tree meet in a batch? Saved tokens against gradient variance.

Real trees: preference data labelled without caps, and successes to imitate. At equal batch sizes, batches with and
without grouping are drawn many times; the variance of their gradients around the gradient of all data, over that
gradient's squared norm, tells how much a batch is worth. Where grouping raises it, batches must be larger for the same
variance; what those cost is the answer. Training outcomes are in `grouping_training`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device

from bench.alternate import alternate
from bench.gradients import Contributions, preference, supervised, training_loss
from bench.grouping_data import labelled, policy, successes
from bench.settings import Settings
from bench.table import Row
from depo_lightning.choices import EfficiencyForm, Grouping, Unit
from depo_lightning.config import LoraConfig
from depo_lightning.data import (
    Packing,
    PreferenceData,
    PreferenceDataModule,
    PreferenceSample,
    SftDataModule,
    compute_reference,
)
from depo_lightning.data.order import Plan
from depo_lightning.data.trees import consecutive_trees
from depo_lightning.modules import ObjectiveSettings, PackedBatch
from depo_lightning.stages import policies

BATCH_SIZE = 16
SIZES = (8, 12, 16, 20, 24, 32, 48)
BATCH_TOKENS = 1024
TOKEN_SIZES = (512, 768, 1024, 1536, 2048, 3072)
DRAWS = 20  # epochs whose batches are looked at
SHARE = 0.1  # of the 1500 trees
STEPS = 10  # of training, for the policy that is no longer its reference
LEARNING_RATE = 5e-4
KTO = ObjectiveSettings(form=EfficiencyForm.kto, alpha1=0.0, alpha2=0.0)
PACKING = Packing()
_TIMED = 96  # trajectories that are timed, in whole trees


@dataclass(frozen=True)
class Order:
    """Batches of one order and size over several epochs: what they cost and how much their gradients scatter."""

    trajectories: float  # per batch
    tokens: float  # computed, per batch
    variances: list[float]  # one for each epoch

    @property
    def variance(self) -> float:
        return float(np.mean(self.variances))

    @property
    def error(self) -> float:
        """Standard error of the variance over epochs."""
        return float(np.std(self.variances, ddof=1) / len(self.variances) ** 0.5)


def look(plan: Plan, dataset: SftDataModule | PreferenceDataModule, found: Contributions) -> Order:
    """Draw DRAWS epochs of a plan; tokens are counted in the first."""
    epochs = [plan(np.random.default_rng([1, draw])) for draw in range(DRAWS)]
    passes = [item for rows in epochs[0] for item in _sequences(dataset.dataset[rows]).passes]
    fed = sum(item.cost() + (item.branches.input_ids.numel() if item.branches else 0) for item in passes)
    size = np.mean([len(rows) for rows in epochs[0]])
    return Order(float(size), fed / len(epochs[0]), [found.variance(epoch) for epoch in epochs])


def at_variance(orders: Sequence[Order], variance: float) -> float:
    """Tokens per batch at which the variance is reached, between measured sizes on logarithmic scales."""
    known = sorted((np.log(order.variance), np.log(order.tokens)) for order in orders)
    x, y = np.array(known).T
    if not x[0] <= np.log(variance) <= x[-1]:
        return float("nan")
    return float(np.exp(np.interp(np.log(variance), x, y)))


def rows_of(what: str, plain: Order, grouped: Sequence[Order], middle: int) -> list[Row]:
    """Tokens, variance, and cost at equal variance of two orders."""
    same = grouped[middle]
    row = partial(Row, "grouping", peer_name="not grouped", higher_is_better=False)
    saved = f"{plain.trajectories:.1f} trajectories per batch, grouped {same.trajectories:.1f}"
    scatter = f"± {same.error:.3g} and {plain.error:.3g} over {DRAWS} epochs"
    equal = at_variance(grouped, plain.variance)
    return [
        row(
            f"{what}: computed tokens",
            "tokens/trajectory",
            [same.tokens / same.trajectories],
            [plain.tokens / plain.trajectories],
            note=saved,
        ),
        row(f"{what}: variance", "of |G|²", same.variances, plain.variances, note=scatter),
        row(f"{what}: cost at equal variance", "tokens/batch", [equal], [plain.tokens], note="grouped batches resized"),
    ]


def measure(settings: Settings) -> list[Row]:
    """Preference training on both kinds of labels, then behaviour cloning."""
    torch.set_num_threads(settings.threads)
    share = SHARE / 3 if settings.quick else SHARE
    rows = []
    for kind in ("relative", "absolute"):
        rows += _preference(settings, kind, share)
    return rows + _supervised(settings, share)


def _preference(settings: Settings, kind: str, share: float) -> list[Row]:
    data = PreferenceData(labelled(settings, kind, share))
    base: Any = policies.load_policy(policy(settings))[0]
    reference = compute_reference(base.to(settings.device), data, 4096, packing=PACKING)
    model = policies.trainable(base, LoraConfig(), 0).train()

    def module(grouping: Grouping, size: int = BATCH_SIZE) -> PreferenceDataModule:
        return PreferenceDataModule(data, reference, Unit.step, size, 0, PACKING, grouping)

    plain = module(Grouping.none)
    result = []
    for when in ("at the reference", f"after {STEPS} steps"):
        found = preference(model, plain.dataset, KTO)
        grouped = [look(module(Grouping.tree, size).plan, plain, found) for size in SIZES]
        what = f"KTO, {kind} labels, {when}"
        result += rows_of(what, look(plain.plan, plain, found), grouped, SIZES.index(BATCH_SIZE))
        if when == "at the reference":
            result.append(_timed(settings, what, model, data.samples[:_TIMED]))
            _train(settings, model, plain)
    return result


def _train(settings: Settings, model: torch.nn.Module, module: PreferenceDataModule) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
    for rows in module.plan(np.random.default_rng(0))[:STEPS]:
        training_loss(model, move_data_to_device(module.dataset[rows], settings.device), KTO).backward()
        optimizer.step()
        optimizer.zero_grad()


def _timed(settings: Settings, what: str, model: torch.nn.Module, samples: list[PreferenceSample]) -> Row:
    """Seconds of an epoch over the same trajectories in either order: packing, forward, backward."""
    data = PreferenceData(samples)
    reference = compute_reference(model, data, 4096, packing=PACKING)

    def epoch(grouping: Grouping) -> Callable[[], float]:
        module = PreferenceDataModule(data, reference, Unit.step, BATCH_SIZE, 0, PACKING, grouping)
        batches = module.plan(np.random.default_rng(7))

        def run() -> float:
            began = time.process_time() if settings.device == "cpu" else time.perf_counter()
            for rows in batches:
                training_loss(model, move_data_to_device(module.dataset[rows], settings.device), KTO).backward()
            if settings.device == "cpu":
                return time.process_time() - began
            torch.cuda.synchronize()
            return time.perf_counter() - began

        return run

    runs = epoch(Grouping.tree), epoch(Grouping.none)
    alternate(*runs, 1)  # warm-up
    ours, peer = alternate(*runs, settings.repetitions)
    model.zero_grad()
    note = "CPU time" if settings.device == "cpu" else ""
    what = f"{what}: epoch of {len(samples)}"
    return Row("grouping", what, "s", ours, peer, "not grouped", higher_is_better=False, note=note)


def _supervised(settings: Settings, share: float) -> list[Row]:
    data = successes(settings, share, held=0.01)
    base: Any = policies.load_policy(policy(settings))[0]
    model = policies.trainable(base.to(settings.device), None, 0).train()

    def module(grouping: Grouping, size: int = BATCH_TOKENS) -> SftDataModule:
        return SftDataModule(data.train, size, 0, PACKING, grouping, data.train_tasks)

    plain = module(Grouping.none)
    found = supervised(model, plain)
    lengths = plain.dataset.rows.lengths
    grouped = [look(module(Grouping.tree, size).plan, plain, found) for size in TOKEN_SIZES]
    alone = [np.array([row]) for row in range(len(lengths))]
    shuffled = [look(partial(consecutive_trees, alone, lengths, size), plain, found) for size in TOKEN_SIZES]
    middle = TOKEN_SIZES.index(BATCH_TOKENS)
    bucketed = look(plain.plan, plain, found)
    result = rows_of("BC", bucketed, grouped, middle)
    result += rows_of("BC, against random lengths", shuffled[middle], grouped, middle)
    equal = at_variance(shuffled, bucketed.variance)
    what = "BC, random instead of like lengths: cost at equal variance"
    return [*result, Row("grouping", what, "tokens/batch", [equal], [bucketed.tokens], "like lengths", False)]


def _sequences(batch: Any) -> PackedBatch:
    found = getattr(batch, "sequences", batch)
    assert isinstance(found, PackedBatch)
    return found
