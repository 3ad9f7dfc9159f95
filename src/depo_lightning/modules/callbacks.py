"""Callbacks that both modules use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn


class ValidationRollouts(pl.Callback):
    """Plays validation episodes during training and logs what they show, as `val/<metric>`.

    Training is the same with and without this callback: random states and training mode are put back.

    Args:
        evaluate: plays episodes with the model it is given, which is in evaluation mode, and returns metrics such as
            `invalid_action_rate` and `success`.
        every_steps: optimizer steps between two evaluations; None means at the end of each epoch.
    """

    def __init__(self, evaluate: Callable[[nn.Module], Mapping[str, float]], every_steps: int | None = None) -> None:
        self.evaluate = evaluate
        self.every_steps = every_steps
        self._last_step = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate after every `every_steps` optimizer steps."""
        step = trainer.global_step
        # with accumulated gradients several batches end at the same optimizer step
        if self.every_steps is not None and step % self.every_steps == 0 and step != self._last_step:
            self._last_step = step
            self._run(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate at the end of the epoch, where no step interval is set."""
        if self.every_steps is None:
            self._run(pl_module)

    def _run(self, pl_module: pl.LightningModule) -> None:
        model: Any = pl_module.model
        training = model.training
        model.eval()
        try:
            with isolate_rng(), torch.no_grad():
                metrics = self.evaluate(model)
        finally:
            model.train(training)
        pl_module.log_dict({f"val/{name}": float(value) for name, value in metrics.items()}, batch_size=1)
