"""Training data: token rows, batches and Lightning data modules for behaviour cloning and preference training."""

from depo_lightning.data.packing import Packing
from depo_lightning.data.preference import PreferenceData, PreferenceDataModule, PreferenceSample, Unit
from depo_lightning.data.reference import ReferenceLogps, compute_reference
from depo_lightning.data.rows import CompactSequence, TokenRows, trajectory_task
from depo_lightning.data.sft import SftDataModule

__all__ = [
    "CompactSequence",
    "Packing",
    "PreferenceData",
    "PreferenceDataModule",
    "PreferenceSample",
    "ReferenceLogps",
    "SftDataModule",
    "TokenRows",
    "Unit",
    "compute_reference",
    "trajectory_task",
]
