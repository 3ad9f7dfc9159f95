"""Imports what every job of a sweep needs; the process that jobs are forked from loads it once."""

from depo_lightning import pipeline, validation  # noqa: F401
from depo_lightning.stages import collect, evaluate, label, preference, report, supervised  # noqa: F401
