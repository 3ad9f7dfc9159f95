"""A Lightning data module whose order of batches can be taken up in the middle of an epoch."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset

from depo_lightning.data.order import BatchOrder, Plan


class BatchesModule(pl.LightningDataModule):
    """Hands out the batches of a plan, shared out over the trainer's processes and accumulated parts.

    Its state, which Lightning puts into checkpoints, is how far the epoch is.
    """

    dataset: Dataset[Any]
    plan: Plan
    seed: int

    def __init__(self) -> None:
        super().__init__()
        self._done = (0, 0)

    def train_dataloader(self) -> DataLoader[Any]:
        """One epoch."""
        share = (0, 1, 1)
        if self.trainer is not None:
            share = (self.trainer.global_rank, self.trainer.world_size, self.trainer.accumulate_grad_batches)
        order = BatchOrder(self.plan, self.seed, *share, done=self._done)
        return DataLoader(self.dataset, sampler=order, batch_size=None)

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and the items of it that are computed."""
        assert self.trainer is not None
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return {"epoch": self.trainer.current_epoch, "items": progress.completed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._done = (state_dict["epoch"], state_dict["items"])
