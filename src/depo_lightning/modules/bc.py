"""Behaviour cloning as a LightningModule."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depo_lightning.modules.batches import TokenBatch
from depo_lightning.modules.optim import OptimizerSettings
from depo_lightning.modules.packed import PackedBatch
from depo_lightning.modules.part import Part
from depo_lightning.modules.passes import PLAIN, Compute
from depo_lightning.modules.policy import policy_logps
from depo_lightning.modules.training import PolicyModule
from depo_lightning.objectives import bc_loss


class BCModule(PolicyModule):
    """Minimises −log π(agent token | everything before it), averaged over the agent tokens of a batch.

    The batch is the whole one of an optimizer step, over all devices and accumulated parts. Logs at every step: `loss`
    (nats per agent token), `grad_norm` (before clipping).

    Args:
        model: a Hugging Face causal LM, bare or with a PEFT adapter; trained in place.
        optimizer: learning rate and schedule.
        compute: how batches are computed.

    Raises:
        ConfigError: settings out of range, or a model that `check_policy` refuses.
    """

    def __init__(self, model: nn.Module, optimizer: OptimizerSettings, compute: Compute = PLAIN) -> None:
        super().__init__(model, optimizer, compute, optimizer.faults("bc"))
        self._losses: list[Tensor] = []

    def training_step(self, batch: TokenBatch | PackedBatch, batch_idx: int) -> Tensor:
        """Loss of one batch, or of a part: the mean over the parts is the loss of the batch; ()."""
        part = batch.part or Part(float(batch.tokens))
        loss = bc_loss(policy_logps(self.model, batch, self.compute), part.divisor)
        self._losses = [*([] if part.first else self._losses), loss.detach()]
        if part.last:
            mean = torch.stack(self._losses).mean()
            self.log("loss", self._total(mean) / self.trainer.world_size, prog_bar=True, batch_size=1)
        return loss
