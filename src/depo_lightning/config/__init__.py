"""The configuration tree: names, types, defaults. YAML under `conf/` states only what differs.

Import-light on purpose (`--help` reads it): no torch here. `to_config` turns Hydra's DictConfig into these plain
dataclasses once, at the boundary; nothing behind it sees a DictConfig. A module per group, or per few.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from depo_lightning.config import collection, environments, llm, models, rollouts, thresholds
from depo_lightning.config.collection import (
    RephraserConfig,
    ScriptedTeacherConfig,
    SearchConfig,
    TeacherConfig,
    trajectory_files,
)
from depo_lightning.config.environments import BabyAIConfig, EnvConfig, MixtureConfig
from depo_lightning.config.evaluation import QuestionsConfig
from depo_lightning.config.models import LoraConfig, ModelConfig, PretrainedConfig, TinyConfig
from depo_lightning.config.rollouts import Backend, RolloutConfig, ServerRolloutConfig
from depo_lightning.config.thresholds import (
    AbsoluteThresholds,
    MixtureThresholds,
    RelativeThresholds,
    ThresholdsConfig,
)
from depo_lightning.config.training import (
    BCConfig,
    BCData,
    DepoConfig,
    EfficiencyConfig,
    FilteredBCConfig,
    Strategy,
    TrainConfig,
    TrainerConfig,
)

__all__ = [
    "STAGES",
    "AbsoluteThresholds",
    "BCConfig",
    "BCData",
    "BabyAIConfig",
    "Backend",
    "Config",
    "DepoConfig",
    "EfficiencyConfig",
    "EnvConfig",
    "FilteredBCConfig",
    "LoggerConfig",
    "LoggerKind",
    "LoraConfig",
    "MixtureConfig",
    "MixtureThresholds",
    "ModelConfig",
    "Policy",
    "PretrainedConfig",
    "QuestionsConfig",
    "RelativeThresholds",
    "RephraserConfig",
    "RolloutConfig",
    "ScriptedTeacherConfig",
    "SearchConfig",
    "ServerRolloutConfig",
    "Strategy",
    "TeacherConfig",
    "ThresholdsConfig",
    "TinyConfig",
    "TrainConfig",
    "TrainerConfig",
    "register",
    "to_config",
    "trajectory_files",
]

STAGES = ("collect", "label", "rephrase", "bc", "reference", "depo", "evaluate", "report")


class Policy(StrEnum):
    """Rows of the closing table; `depo` is the policy that group `efficiency` describes."""

    bc = "bc"
    filtered_bc = "filtered_bc"
    kto = "kto"
    depo = "depo"


class LoggerKind(StrEnum):
    wandb = "wandb"
    csv = "csv"
    tensorboard = "tensorboard"
    none = "none"


@dataclass
class LoggerConfig:
    kind: LoggerKind = LoggerKind.wandb
    project: str = "depo_lightning"
    entity: str | None = None
    offline: bool = False  # stay offline even where a key is there


@dataclass
class Config:
    """The whole tree."""

    alpha1: float = 3.0
    alpha2: float = 3.0
    seed: int = 0
    stages: list[str] = field(default_factory=lambda: list(STAGES))
    policies: list[Policy] = field(default_factory=lambda: list(Policy))
    store: str = "store"
    output: str = MISSING
    sweep: str | None = None  # the sweep's directory when the run is part of one
    env: EnvConfig = MISSING
    model: ModelConfig = MISSING
    thresholds: ThresholdsConfig = MISSING
    efficiency: EfficiencyConfig = field(default_factory=EfficiencyConfig)
    teacher: TeacherConfig = MISSING
    rephraser: RephraserConfig = MISSING
    search: SearchConfig = field(default_factory=SearchConfig)
    bc: BCConfig = field(default_factory=BCConfig)
    filtered_bc: FilteredBCConfig = field(default_factory=FilteredBCConfig)
    depo: DepoConfig = field(default_factory=DepoConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    evaluation: dict[str, QuestionsConfig] = field(default_factory=dict)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)


def register() -> None:
    """Put the schemas into Hydra's ConfigStore; `conf/` extends them."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for part in (environments, models, thresholds, collection, llm, rollouts):
        for group, name, node in part.SCHEMAS:
            store.store(group=group, name=name, node=node)


def to_config(cfg: DictConfig) -> Config:
    """Resolve a composed DictConfig into plain dataclasses."""
    result: Any = OmegaConf.to_object(cfg)
    return result
