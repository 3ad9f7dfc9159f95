"""Behaviour cloning as a LightningModule."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.optim import Optimizer

from depo_lightning.errors import ConfigError
from depo_lightning.modules.batches import TokenBatch
from depo_lightning.modules.optim import OptimizerSettings, configure, gradient_norm
from depo_lightning.modules.packed import PackedBatch
from depo_lightning.modules.passes import PLAIN, Compute
from depo_lightning.modules.policy import check_policy, policy_logps
from depo_lightning.objectives import bc_loss


class BCModule(pl.LightningModule):
    """Minimises −log π(agent token | everything before it), averaged over the agent tokens of a batch.

    Logs at every step: `loss` (nats per agent token), `grad_norm` (before clipping).

    Args:
        model: a Hugging Face causal LM, bare or with a PEFT adapter; trained in place.
        optimizer: learning rate and schedule.
        compute: how packed batches are computed.

    Raises:
        ConfigError: settings out of range, or a model that `check_policy` refuses.
    """

    def __init__(self, model: nn.Module, optimizer: OptimizerSettings, compute: Compute = PLAIN) -> None:
        super().__init__()
        if faults := optimizer.faults("bc"):
            raise ConfigError(faults)
        check_policy(model)
        self.model = model.train()  # models from a checkpoint arrive in evaluation mode, and Lightning keeps the mode
        self.optimizer_settings = optimizer
        self.compute = compute

    def training_step(self, batch: TokenBatch | PackedBatch, batch_idx: int) -> Tensor:
        """Loss of one batch, ()."""
        logps = policy_logps(self.model, batch, self.compute)
        loss = bc_loss(logps, batch.tokens)
        self.log("loss", loss.detach(), prog_bar=True, batch_size=batch.tokens)
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the gradient norm, which Lightning calls for just before it clips."""
        self.log("grad_norm", gradient_norm(self.model.parameters()))

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up and cosine over the whole training."""
        return configure(self.model, self.optimizer_settings, int(self.trainer.estimated_stepping_batches))
