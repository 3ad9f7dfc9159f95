"""Preference training (KTO, DEPO and its variants) as a LightningModule."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.optim import Optimizer

from depo_lightning.errors import ConfigError
from depo_lightning.modules.batches import PreferenceBatch
from depo_lightning.modules.optim import OptimizerSettings, configure, gradient_norm
from depo_lightning.modules.passes import PLAIN, Compute
from depo_lightning.modules.policy import check_policy, preference_logps
from depo_lightning.objectives import ObjectiveSettings, estimate_kl, preference_terms


class DEPOModule(pl.LightningModule):
    """Minimises the mean DEPO loss over the samples of a batch (DEPO, Eq. 9 and 10; KTO, Eq. 7 and 8).

    What a sample is, a step or a whole trajectory, the batch decides. The reference's log-probabilities come with the
    batch, so no second model is held.

    Logs at every step: `loss`, `z0`, `logratio/…`, `reward_with_beta/…`, `bonus/…`, `gradient_weight/…` and
    `sample_weight/…` for `desirable` and `undesirable`, `leverage` (NaN is left out), `grad_norm` (before clipping).

    Args:
        model: the policy, which starts as the reference; trained in place.
        objective: strengths and form of the loss.
        optimizer: learning rate and schedule.
        compute: how packed batches are computed.

    Raises:
        ConfigError: settings out of range, or a model that `check_policy` refuses.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: ObjectiveSettings,
        optimizer: OptimizerSettings,
        compute: Compute = PLAIN,
    ) -> None:
        super().__init__()
        if faults := objective.faults("depo") + optimizer.faults("depo"):
            raise ConfigError(faults)
        check_policy(model)
        self.model = model.train()  # models from a checkpoint arrive in evaluation mode, and Lightning keeps the mode
        self.objective = objective
        self.optimizer_settings = optimizer
        self.compute = compute

    def training_step(self, batch: PreferenceBatch, batch_idx: int) -> Tensor:
        """Mean loss of one batch, ()."""
        logps, mismatched = preference_logps(self.model, batch, self.compute)
        kl = estimate_kl(mismatched, batch.ref_kl_logps, self._total)
        terms = preference_terms(
            logps,
            batch.ref_logps,
            batch.desirable,
            batch.tokens_per_step,
            batch.steps,
            batch.sample_tokens,
            kl,
            self.objective,
        )
        metrics = terms.metrics(batch.desirable, kl, self.objective.beta)
        self.log_dict(metrics, batch_size=len(batch.desirable))
        return terms.losses.mean()

    def _total(self, local: Tensor) -> Tensor:
        """The sum over all ranks."""
        if self.trainer.world_size == 1:
            return local
        gathered: Any = self.all_gather(local)
        return gathered.sum(dim=0)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the gradient norm, which Lightning calls for just before it clips."""
        self.log("grad_norm", gradient_norm(self.model.parameters()))

    def configure_optimizers(self) -> Any:
        """AdamW, warm-up and cosine over the whole training."""
        return configure(self.model, self.optimizer_settings, int(self.trainer.estimated_stepping_batches))
