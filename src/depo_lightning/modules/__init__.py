"""Lightning modules for behaviour cloning and preference training. They hold no loss arithmetic: see `objectives`."""

from depo_lightning.modules.batches import PreferenceBatch, TokenBatch
from depo_lightning.modules.bc import BCModule
from depo_lightning.modules.callbacks import ValidationRollouts
from depo_lightning.modules.checkpoints import Checkpoints
from depo_lightning.modules.depo import DEPOModule
from depo_lightning.modules.optim import OptimizerSettings
from depo_lightning.modules.packed import PackedBatch
from depo_lightning.modules.passes import Compute
from depo_lightning.modules.policy import check_policy, policy_logps, preference_logps
from depo_lightning.modules.scoring import score
from depo_lightning.objectives import ObjectiveSettings

__all__ = [
    "BCModule",
    "Checkpoints",
    "Compute",
    "DEPOModule",
    "ObjectiveSettings",
    "OptimizerSettings",
    "PackedBatch",
    "PreferenceBatch",
    "TokenBatch",
    "ValidationRollouts",
    "check_policy",
    "policy_logps",
    "preference_logps",
    "score",
]
