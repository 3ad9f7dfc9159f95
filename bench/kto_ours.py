"""One KTO epoch of ours, as a process of its own: the reference pass, then preference training as the stage does it.

`spec`: model, samples (folder), batch_size, kl_pairs, precision, device, threads, count_flops,
trainer (more fields of TrainerConfig), grouping.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench import workers
from bench.flops import counted
from bench.kto_model import load_model
from bench.tree_data import load_samples
from depo_lightning.choices import Grouping, Unit
from depo_lightning.config import LoraConfig, TrainerConfig
from depo_lightning.data import PreferenceData, PreferenceDataModule, compute_reference
from depo_lightning.modules import DEPOModule, ObjectiveSettings, OptimizerSettings
from depo_lightning.stages import policies
from depo_lightning.stages.preference import _BATCH_TOKENS
from depo_lightning.stages.training import compute, computing, fit, packing, use_threads


def main() -> None:
    """Measure once."""
    spec = workers.spec()
    trainer = TrainerConfig(
        accelerator="gpu" if spec["device"] == "cuda" else "cpu",
        precision=spec["precision"],
        threads=spec["threads"],
        **spec.get("trainer", {}),
    )
    use_threads(trainer)
    model = load_model(spec["model"], spec["device"])
    data = PreferenceData(load_samples(Path(spec["samples"])), spec["kl_pairs"], seed=0)
    memory = workers.PeakMemory(spec["device"])

    clock = workers.Clock()
    with counted(spec["count_flops"]) as reference_flops, computing(trainer):
        reference = compute_reference(model, data, _BATCH_TOKENS, packing=packing(trainer, model))
    reference_pass = {**clock.seconds(), "mib": memory.mib(), "flops": reference_flops.total}

    clock = workers.Clock()
    with counted(spec["count_flops"]) as flops:
        policy = policies.trainable(model, LoraConfig(), seed=0)
        module = DEPOModule(
            policy, ObjectiveSettings(alpha1=0.0, alpha2=0.0), OptimizerSettings(lr=2e-5), compute(trainer)
        )
        grouping = Grouping(spec.get("grouping", "none"))
        shared = packing(trainer, policy)
        batches = PreferenceDataModule(data, reference, Unit.step, spec["batch_size"], 0, shared, grouping)
        _train(module, batches, trainer)
    workers.answer(
        **clock.seconds(),
        mib=memory.mib(),
        flops=flops.total,
        reference=reference_pass,
        rows=int(data.steps.counts.sum()),
        pairs=len(data.pairs),
    )


def _train(module: Any, batches: Any, trainer: TrainerConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fit(module, batches, Path(folder), trainer, None, "kto", epochs=1, seed=0)


if __name__ == "__main__":
    main()
