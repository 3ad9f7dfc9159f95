"""Preference training (KTO, DEPO and its variants) as a LightningModule."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from depo_lightning.modules.batches import PreferenceBatch
from depo_lightning.modules.optim import OptimizerSettings
from depo_lightning.modules.part import Part
from depo_lightning.modules.passes import PLAIN, Compute
from depo_lightning.modules.policy import preference_logps
from depo_lightning.modules.training import PolicyModule
from depo_lightning.objectives import ObjectiveSettings, PreferenceTerms, estimate_kl, preference_terms


class DEPOModule(PolicyModule):
    """Minimises the mean DEPO loss over the samples of a batch (DEPO, Eq. 9 and 10; KTO, Eq. 7 and 8).

    The batch is the whole one of an optimizer step, over all devices and accumulated parts; z0 is that batch's, too.
    What a sample is, a step or a whole trajectory, the batch decides. The reference's log-probabilities come with the
    batch, so no second model is held.

    Logs at every step: `loss`, `z0`, `logratio/…`, `reward_with_beta/…`, `bonus/…`, `gradient_weight/…` and
    `sample_weight/…` for `desirable` and `undesirable`, `leverage` (NaN is left out), `grad_norm` (before clipping).

    Args:
        model: the policy, which starts as the reference; trained in place.
        objective: strengths and form of the loss.
        optimizer: learning rate and schedule.
        compute: how batches are computed.

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
        super().__init__(model, optimizer, compute, objective.faults("depo") + optimizer.faults("depo"))
        self.objective = objective
        self._kl = torch.zeros(())
        self._terms: list[PreferenceTerms] = []

    def training_step(self, batch: PreferenceBatch, batch_idx: int) -> Tensor:
        """Loss of one batch, or of a part: the mean over the parts is the loss of the batch; ()."""
        part = batch.part or Part(float(len(batch.desirable)))
        logps, mismatched = preference_logps(self.model, batch, self.compute)
        if part.first:
            self._kl = estimate_kl(mismatched[: len(batch.ref_kl_logps)], batch.ref_kl_logps, self._total)
            self._terms = []
        terms = preference_terms(
            logps,
            batch.ref_logps,
            batch.desirable,
            batch.tokens_per_step,
            batch.steps,
            batch.sample_tokens,
            self._kl,
            self.objective,
        )
        self._terms.append(terms.detached(len(batch.desirable) if math.isfinite(part.divisor) else 0))
        if part.last:
            self._log_terms()
        return terms.losses.sum() / part.divisor

    def _log_terms(self) -> None:
        """Log what the whole batch shows."""
        rows = self._all_rows(torch.cat([terms.rows() for terms in self._terms]))
        self.log_dict(PreferenceTerms.from_rows(rows).metrics(self._kl, self.objective.beta), batch_size=1)
