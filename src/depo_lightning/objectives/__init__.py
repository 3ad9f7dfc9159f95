"""Objectives as pure functions, tensors in, tensors out: efficiency bonus, KTO/DEPO loss, masked log-probabilities.

Nothing here knows which model or file a tensor comes from.
"""

from depo_lightning.objectives.bonus import EfficiencyForm, apply_efficiency, efficiency_bonus, undesirable_penalty
from depo_lightning.objectives.kto import depo_loss, estimate_kl, gradient_weights, leverage
from depo_lightning.objectives.logps import bc_loss, completion_logps, segment_logps, sequence_logps
from depo_lightning.objectives.preference import ObjectiveSettings, PreferenceTerms, preference_terms
from depo_lightning.objectives.weights import token_weights

__all__ = [
    "EfficiencyForm",
    "ObjectiveSettings",
    "PreferenceTerms",
    "apply_efficiency",
    "bc_loss",
    "completion_logps",
    "depo_loss",
    "efficiency_bonus",
    "estimate_kl",
    "gradient_weights",
    "leverage",
    "preference_terms",
    "segment_logps",
    "sequence_logps",
    "token_weights",
    "undesirable_penalty",
]
