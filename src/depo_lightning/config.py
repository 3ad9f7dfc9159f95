"""The configuration tree: names, types, defaults. YAML under `conf/` states only what differs.

Import-light on purpose (`--help` reads it): no torch here. `compose_to_config` turns Hydra's DictConfig into these
plain dataclasses once, at the boundary; nothing behind it sees a DictConfig.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from depo_lightning.choices import EfficiencyForm, Grouping, PackingMode, Scoring, Unit

STAGES = ("collect", "label", "rephrase", "bc", "reference", "depo", "evaluate", "report")


class BCData(StrEnum):
    successes = "successes"
    desirable = "desirable"


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
class EnvConfig:
    name: str = MISSING


@dataclass
class BabyAIConfig(EnvConfig):
    name: str = "babyai"
    levels: list[str] | None = None  # null: all 40
    scoring: Scoring = Scoring.default


@dataclass
class LoraConfig:
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: str = "all-linear"


@dataclass
class ModelConfig:
    name: str = MISSING
    vocab_size: int = 512  # upper bound, for a tokenizer fitted on the training text


@dataclass
class TinyConfig(ModelConfig):
    """A Llama built and trained from scratch, with its own tokenizer."""

    name: str = "tiny"
    hidden: int = 128
    layers: int = 3
    ff: int = 256
    heads: int = 4
    max_positions: int = 2048


@dataclass
class ThresholdsConfig:
    kind: str = MISSING
    max_desirable: int | None = None  # seeded subsample; null keeps all
    max_undesirable: int | None = None
    balanced: bool = False  # keep as many of one label as of the other
    fraction: float = 1.0  # of what is left: for sample efficiency; smaller shares are subsets of larger ones
    seed: int = 0


@dataclass
class AbsoluteThresholds(ThresholdsConfig):
    """DEPO, Eq. 3: r ≥ κ0 is desirable, κ2 ≤ r < κ1 undesirable, the rest is dropped."""

    kind: str = "absolute"
    kappa0: float = MISSING
    kappa1: float = MISSING
    kappa2: float = MISSING
    step_cut: int | None = None  # desirable needs fewer steps, undesirable at least as many


@dataclass
class RelativeThresholds(ThresholdsConfig):
    """Cheapest and dearest episodes of the same task."""

    kind: str = "relative"
    desirable_fraction: float = 1 / 3
    undesirable_fraction: float = 1 / 3
    include_failures: bool = True
    min_successes: int = 2
    token_weight: float = 1.0
    step_weight: float = 0.0


@dataclass
class EfficiencyConfig:
    form: EfficiencyForm = EfficiencyForm.depo
    penalty_strength: float = 1.0


@dataclass
class TeacherConfig:
    name: str = MISSING


@dataclass
class ScriptedTeacherConfig(TeacherConfig):
    """Probabilities per proposal."""

    name: str = "scripted"
    noise: float = 0.05
    detour: float = 0.15
    verbosity: float = 0.5
    style_persistence: float = 0.9


@dataclass
class RephraserConfig:
    name: str = MISSING


@dataclass
class SearchConfig:
    """Monte Carlo tree search over agent turns (DEPO, Eq. 2)."""

    tasks: int = 1500
    simulations: int = 4
    proposals: int = 3
    exploration: float = 1.0
    max_depth: int = 20
    seed: int = 0
    workers: int | None = None  # processes; null: as many as the job has cores
    concurrency: int = 8
    trajectories: str | None = None  # a JSONL of trajectories to use instead of searching


@dataclass
class TrainConfig:
    """What every training stage can set."""

    lr: float = MISSING
    epochs: int = 3
    warmup: float = 0.03  # fraction of all optimizer steps
    weight_decay: float = 0.0
    lora: LoraConfig | None = None  # null trains all weights
    grouping: Grouping = Grouping.none  # tree: a batch holds whole search trees, as far as they fit


@dataclass
class BCConfig(TrainConfig):
    lr: float = 1e-4
    data: BCData = BCData.successes
    max_trajectories: int | None = None
    batch_tokens: int = 8192  # tokens per batch, padding included; grouped by tree, without it


@dataclass
class FilteredBCConfig(TrainConfig):
    """SFT of the BC policy on the cheapest fraction of the successes of each task."""

    lr: float = 1e-4
    fraction: float = 0.25
    max_trajectories: int | None = None
    batch_tokens: int = 8192


@dataclass
class DepoConfig(TrainConfig):
    lr: float = 2e-5
    beta: float = 0.2
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    unit: Unit = Unit.step
    token_weighting: bool = False  # weight each sample by 1 / its tokens
    kl_pairs: int = 1  # mismatched pairs per trajectory, for z0
    batch_size: int = 16  # trajectories
    validate_every: int = 0  # optimizer steps between validation rollouts; 0: once an epoch


@dataclass
class RolloutConfig:
    test_tasks: int = 300
    validation_tasks: int = 60
    split: str = "test"  # the tasks that the evaluation plays: test, or validation to choose settings
    max_steps: int = 20
    max_new_tokens: int = 64
    temperature: float = 0.7
    batch_size: int = 128
    max_context: int = 1024
    seed: int = 0
    workers: int | None = None  # processes that share the episodes of a model on the CPU; null: the job's cores


@dataclass
class TrainerConfig:
    accelerator: str = "cpu"
    devices: int = 1  # one, for now
    precision: str = "32-true"
    threads: int | None = None  # CPU threads of torch; null: OMP_NUM_THREADS, else all cores of the job
    gradient_clip: float | None = 1.0
    packing: PackingMode = PackingMode.prefix  # equal prefixes of a batch once; padding: each sequence on its own
    pass_tokens: int = 4096  # most tokens in one pass of a packed batch, or one episode, should that be longer
    flex_attention: bool = False  # FlexAttention for packed batches, on a GPU
    gradient_checkpointing: bool = False  # keep the input of each layer only: a forward pass more, for large models


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
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)


def register() -> None:
    """Put the schemas into Hydra's ConfigStore; `conf/` extends them."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    store.store(group="env", name="babyai_schema", node=BabyAIConfig)
    store.store(group="model", name="tiny_schema", node=TinyConfig)
    store.store(group="thresholds", name="absolute_schema", node=AbsoluteThresholds)
    store.store(group="thresholds", name="relative_schema", node=RelativeThresholds)
    store.store(group="teacher", name="scripted_schema", node=ScriptedTeacherConfig)
    store.store(group="rephraser", name="rephraser_schema", node=RephraserConfig)


def to_config(cfg: DictConfig) -> Config:
    """Resolve a composed DictConfig into plain dataclasses."""
    result: Any = OmegaConf.to_object(cfg)
    return result
