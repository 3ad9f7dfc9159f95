"""What the training stages share: the Lightning trainer as configured, quiet, logged, seeded."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from depo_lightning.choices import PackingMode
from depo_lightning.config import TrainerConfig
from depo_lightning.processes import cores
from depo_lightning.progress import console
from depo_lightning.tracking import Tracker, lightning_logger

if TYPE_CHECKING:
    import pytorch_lightning as pl  # heavy, and stages that only play or score need nothing of it

    from depo_lightning.data import Packing
    from depo_lightning.modules import Compute


def use_threads(trainer: TrainerConfig) -> None:
    """Set torch's CPU threads; the sums of a run are reproducible for a given number of threads."""
    torch.set_num_threads(_threads(trainer))


def packing(trainer: TrainerConfig, model: Any) -> Packing | None:
    """How batches for the model are packed; None where they are padded, by choice or because the model needs it."""
    from depo_lightning.data import Packing
    from depo_lightning.modules.attention import supports_packing

    if trainer.packing == PackingMode.padding:
        return None
    if not supports_packing(model):
        console.print(
            f"[dim]{type(model).__name__}: prefix sharing is not exact for its attention; batches are padded[/]"
        )
        return None
    return Packing(trainer.pass_tokens, compute(trainer).threads)


def compute(trainer: TrainerConfig) -> Compute:
    """How packed batches are computed."""
    from depo_lightning.modules import Compute

    threads = _threads(trainer) if trainer.accelerator == "cpu" else 1
    return Compute(threads, trainer.flex_attention)


def _threads(trainer: TrainerConfig) -> int:
    return trainer.threads or cores()


def fit(
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    target: Path,
    trainer: TrainerConfig,
    tracker: Tracker | None,
    name: str,
    *,
    epochs: int,
    seed: int,
    callbacks: Sequence[pl.Callback] = (),
) -> None:
    """Train `module` in place; its curves go to `target/metrics.csv` and live to the tracker under `name/`."""
    import pytorch_lightning as pl
    from pytorch_lightning.loggers import CSVLogger

    for noisy in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    use_threads(trainer)
    if trainer.gradient_checkpointing:
        model: Any = module.model
        model.gradient_checkpointing_enable({"use_reentrant": False})
    pl.seed_everything(seed, workers=True, verbose=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings(
            "ignore", message=".*is_gradient_checkpointing.*"
        )  # Lightning asks, Transformers objects
        pl.Trainer(
            max_epochs=epochs,
            accelerator=trainer.accelerator,
            devices=trainer.devices,
            precision=trainer.precision,  # type: ignore[arg-type]
            gradient_clip_val=trainer.gradient_clip,
            logger=[CSVLogger(target, name="", version=""), lightning_logger(tracker or Tracker(None), name)],
            callbacks=list(callbacks),
            default_root_dir=target,
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        ).fit(module, datamodule=data)
    (target / "hparams.yaml").unlink(missing_ok=True)  # the manifest says what went in
