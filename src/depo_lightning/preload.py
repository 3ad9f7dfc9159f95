"""Imports what every job of a sweep needs; the process that jobs are forked from loads it once."""

import peft  # noqa: F401
import pytorch_lightning  # noqa: F401
import wandb  # noqa: F401

from depo_lightning import data, modules, pipeline, rollouts  # noqa: F401
from depo_lightning.collect import labelling, mcts, rephrase, run  # noqa: F401
from depo_lightning.envs import babyai  # noqa: F401
from depo_lightning.stages import collect, evaluate, label, policies, preference, report, supervised, training  # noqa: F401
