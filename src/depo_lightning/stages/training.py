"""What the training stages share: the Lightning trainer as configured, quiet, logged, seeded."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from depo_lightning import team
from depo_lightning.choices import PackingMode
from depo_lightning.config import Strategy, TrainerConfig
from depo_lightning.curves import parse_curves
from depo_lightning.processes import cores
from depo_lightning.progress import console
from depo_lightning.stages.context import CURVES
from depo_lightning.store import PROGRESS
from depo_lightning.tracking import Tracker, lightning_logger

if TYPE_CHECKING:
    import pytorch_lightning as pl  # heavy, and stages that only play or score need nothing of it

    from depo_lightning.data import Packing
    from depo_lightning.modules import Compute

_NOISE = (
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    ".*is_gradient_checkpointing.*",  # Lightning asks, Transformers objects
    ".*directory .* exists and is not empty.*",  # checkpoints of the training that goes on
    ".*dataloader is not resumable.*",  # the data module is
    ".*sync_dist=True.*",  # the first process alone plays validation episodes; the rest is logged summed up
)


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
    """How batches are computed."""
    from depo_lightning.modules import Compute

    threads = _threads(trainer) if trainer.accelerator == "cpu" else 1
    return Compute(threads, trainer.flex_attention, trainer.strategy is Strategy.fsdp)


def computing(trainer: TrainerConfig) -> AbstractContextManager[Any]:
    """The precision that training computes in, for scores that are compared with it."""
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(trainer.precision)
    device = {"gpu": "cuda"}.get(trainer.accelerator, trainer.accelerator)
    return nullcontext() if dtype is None else torch.autocast(device, dtype)


def _threads(trainer: TrainerConfig) -> int:
    own = trainer.devices if trainer.accelerator == "cpu" else 1
    return trainer.threads or max(1, cores() // own)


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
    """Train `module` in place; its curves go to `target/metrics.csv` and live to the tracker under `name/`.

    A training that was stopped goes on from its last checkpoint in `target`.

    Raises:
        Trained: in a process that only trains with the first one. MachineError: another process died.
    """
    import pytorch_lightning as pl
    from pytorch_lightning.loggers import CSVLogger

    from depo_lightning.modules import Checkpoints
    from depo_lightning.modules.checkpoints import latest
    from depo_lightning.stages.strategies import shared, whole_again

    for noisy in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    use_threads(trainer)
    if trainer.gradient_checkpointing and trainer.strategy is not Strategy.fsdp:  # which has its own
        model: Any = module.model
        new, old = "activation_checkpointing_enable", "gradient_checkpointing_enable"  # Transformers renames it
        getattr(model, new if hasattr(model, new) else old)({"use_reentrant": False})
    crew = team.meet(target.name) if team.size(trainer) > 1 else None
    if callbacks and trainer.strategy is Strategy.fsdp:
        console.print(f"[dim]{name}: no validation rollouts, as no process has the whole model[/]")
    pl.seed_everything(seed, workers=True, verbose=False)
    if crew is not None and crew.rank > 0:
        torch.manual_seed(seed + crew.rank)  # dropout of its own

    def replay(curves: str) -> None:
        for step, metrics in parse_curves(curves.splitlines()):
            (tracker or Tracker(None)).log(metrics, step, name)

    checkpoints = Checkpoints(_progress(target, trainer), trainer.checkpoint_every, target / CURVES, replay)
    loggers = [CSVLogger(target, name="", version=""), lightning_logger(tracker or Tracker(None), name)]
    resumed = latest(checkpoints.folder)
    if resumed is not None and team.rank() == 0:
        console.print(f"[bold]{name}[/]  goes on after step {int(resumed.stem)}, from its last checkpoint")
    with warnings.catch_warnings(), team.deaths():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        trained = pl.Trainer(
            max_epochs=epochs,
            accelerator=trainer.accelerator,
            devices=trainer.devices,
            num_nodes=trainer.nodes,
            strategy="auto" if crew is None else shared(trainer, crew, module.model),
            precision=trainer.precision,  # type: ignore[arg-type]
            accumulate_grad_batches=trainer.accumulate,
            gradient_clip_val=trainer.gradient_clip,
            logger=loggers,
            callbacks=[*callbacks, checkpoints],
            default_root_dir=target,
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trained.fit(module, datamodule=data, ckpt_path=resumed, weights_only=False)
        whole_again(module, trained.strategy)
    if team.rank() > 0:
        raise team.Trained
    checkpoints.finish()
    (target / "hparams.yaml").unlink(missing_ok=True)  # the manifest says what went in


def _progress(target: Path, trainer: TrainerConfig) -> Path:
    """Where checkpoints are: one from another layout would count other batches."""
    return target / PROGRESS / f"{trainer.strategy}-{team.size(trainer)}x{trainer.accumulate}"
