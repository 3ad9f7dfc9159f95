"""Checkpoints that a killed training goes on from, exactly: in the middle of an epoch, with the same random numbers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from depo_lightning.curves import joined_curves
from depo_lightning.files import sync

_SUFFIX = ".ckpt"


def latest(folder: Path) -> Path | None:
    """The newest checkpoint there; None without one."""
    return max(folder.glob(f"*{_SUFFIX}"), default=None)


class Checkpoints(pl.Callback):
    """Saves a checkpoint every so often, before a batch: nothing of the steps so far is then still to be done.

    Besides Lightning's own (weights, optimizer, schedule, progress) it holds the random states of all processes and the
    curves so far, which `finish` joins to those that were logged after it.

    Args:
        folder: where; the newest checkpoint replaces the older ones there.
        minutes: between two of them; 0 saves before every optimizer step, None never.
        curves: the curves file of this training.
        replay: told the curves file of the steps before the checkpoint, by a training that goes on.
    """

    def __init__(
        self, folder: Path, minutes: float | None, curves: Path, replay: Callable[[str], None] = lambda curves: None
    ) -> None:
        self.replay = replay
        self.folder = folder
        self.minutes = minutes
        self.curves = curves
        self.earlier = ""  # curves up to the checkpoint that this training goes on from
        self._random: list[dict[str, Any]] = []  # of each process
        self._last = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the curves so far, and start the clock."""
        self._last = time.monotonic()
        if self.earlier and trainer.is_global_zero:
            self.replay(self.earlier)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Take up the random states of the checkpoint that this training goes on from, or save one if it is time."""
        if self._random:
            _set_random_state(self._random[trainer.global_rank])
            self._random = []
            # the step that curves are logged at: after a checkpoint before a batch Lightning counts one too many
            trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
        elif trainer.global_step > 0 and batch_idx % trainer.accumulate_grad_batches == 0 and self._due(trainer):
            self._save(trainer)

    def _due(self, trainer: pl.Trainer) -> bool:
        if self.minutes is None:
            return False
        due = time.monotonic() - self._last >= 60 * self.minutes
        return bool(trainer.strategy.broadcast(due)) if self.minutes else True

    def _save(self, trainer: pl.Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()
        self._random = _of_all(trainer, _random_state())
        partial = self.folder / "partial"
        trainer.save_checkpoint(partial, weights_only=False)
        if trainer.is_global_zero:
            sync(partial)
            target = self.folder / f"{trainer.global_step:012d}{_SUFFIX}"
            older = [path for path in self.folder.glob(f"*{_SUFFIX}") if path != target]
            partial.replace(target)
            for path in older:
                path.unlink()
        self._random = []
        self._last = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Random states and curves."""
        return {"random": self._random, "curves": self._curves()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._random, self.earlier = state_dict["random"], state_dict["curves"]

    def finish(self) -> None:
        """Complete the curves file, once all loggers have written."""
        if self.earlier:
            self.curves.write_bytes(self._curves().encode())

    def _curves(self) -> str:
        own = self.curves.read_bytes().decode() if self.curves.exists() else ""
        return joined_curves(self.earlier, own) if self.earlier else own


def _of_all(trainer: pl.Trainer, state: dict[str, Any]) -> list[dict[str, Any]]:
    if trainer.world_size == 1:
        return [state]
    states: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(states, state)
    return states


def _random_state() -> dict[str, Any]:
    state = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
