"""What the modules share: a policy that is trained in place, its optimizer, and sums over devices."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from depo_lightning.errors import ConfigError
from depo_lightning.modules.optim import OptimizerSettings, configure, gradient_norm, parameter_groups
from depo_lightning.modules.passes import Compute
from depo_lightning.modules.policy import check_policy


class PolicyModule(pl.LightningModule):
    """Trains a policy in place, and logs `grad_norm` (before clipping) at every step.

    Checkpoints hold what is trained: frozen weights are there before a training goes on.

    Args:
        model: a Hugging Face causal LM, bare or with a PEFT adapter.
        optimizer: learning rate and schedule.
        compute: how batches are computed.
        faults: of further settings.

    Raises:
        ConfigError: faults, or a model that `check_policy` refuses.
    """

    def __init__(self, model: nn.Module, optimizer: OptimizerSettings, compute: Compute, faults: list[str]) -> None:
        super().__init__()
        if faults:
            raise ConfigError(faults)
        check_policy(model)
        self.model = model.train()  # models from a checkpoint arrive in evaluation mode, and Lightning keeps the mode
        self.optimizer_settings = optimizer
        self.compute = compute
        self.strict_loading = False
        named = model.named_parameters(prefix="model", remove_duplicate=False)
        self._trained = {name for name, parameter in named if parameter.requires_grad}
        self._groups = parameter_groups(model, optimizer)  # shards, which parameters become under FSDP, have no shape

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Forget what earlier steps logged; Lightning would log it again wherever a step has no value of its own."""
        self.trainer.fit_loop.epoch_loop._results.reset()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the gradient norm, which Lightning calls for just before it clips."""
        norm = gradient_norm(self.model.parameters())
        if isinstance(self.trainer.strategy, FSDPStrategy):  # of this device's shards
            norm = self._total(norm**2).sqrt()
        self.log("grad_norm", norm)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip by the norm of all gradients; of a model in shards, FSDP knows it."""
        if not isinstance(self.trainer.strategy, FSDPStrategy):
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            root: Any = self.trainer.strategy.model
            root.clip_grad_norm_(gradient_clip_val)

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up and cosine over the whole training."""
        return configure(self._groups, self.optimizer_settings, int(self.trainer.estimated_stepping_batches))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in state.items() if name in self._trained}

    def _total(self, local: Tensor) -> Tensor:
        """The sum over all devices."""
        if self.trainer.world_size == 1:
            return local
        gathered: Any = self.all_gather(local)
        return gathered.sum(dim=0)

    def _all_rows(self, local: Tensor) -> Tensor:
        """The rows (n, C) of all devices, which may have different numbers of them."""
        if self.trainer.world_size == 1:
            return local
        counts: Any = self.all_gather(torch.tensor(len(local), device=self.device))
        most = int(counts.max())
        gathered: Any = self.all_gather(F.pad(local, (0, 0, 0, most - len(local))))
        return torch.cat([rows[:count] for rows, count in zip(gathered, counts.tolist(), strict=True)])
