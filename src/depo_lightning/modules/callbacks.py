"""Callbacks that both modules use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn


@runtime_checkable
class Stateful(Protocol):
    """What remembers something from one evaluation to the next, and can put it into a checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember that."""


class ValidationRollouts(pl.Callback):
    """Plays validation episodes during training and logs what they show, as `val/<metric>`.

    Training is the same with and without this callback: random states and training mode are put back. Of several
    processes the first one plays; of a model in shards, none can.

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
            self._run(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate at the end of the epoch, where no step interval is set."""
        if self.every_steps is None:
            self._run(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """When it last played, and what the player remembers."""
        played: dict[str, Any] = self.evaluate.state_dict() if isinstance(self.evaluate, Stateful) else {}
        return {"last_step": self._last_step, "evaluate": played}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._last_step = state_dict["last_step"]
        if isinstance(self.evaluate, Stateful):
            self.evaluate.load_state_dict(state_dict["evaluate"])

    def _run(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or isinstance(trainer.strategy, FSDPStrategy):
            return
        model: Any = pl_module.model
        training = model.training
        model.eval()
        try:
            with isolate_rng(), torch.no_grad():
                metrics = self.evaluate(model)
        finally:
            model.train(training)
        pl_module.log_dict({f"val/{name}": float(value) for name, value in metrics.items()}, batch_size=1)
