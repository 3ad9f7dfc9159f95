"""Groups `efficiency`, `bc`, `filtered_bc`, `depo` and `trainer`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from omegaconf import MISSING

from depo_lightning.choices import EfficiencyForm, Grouping, PackingMode, Unit
from depo_lightning.config.models import LoraConfig


class BCData(StrEnum):
    successes = "successes"
    desirable = "desirable"


class Strategy(StrEnum):
    """How the devices share a training: one alone; whole copies of the model; the model in shards."""

    single = "single"
    ddp = "ddp"
    fsdp = "fsdp"


@dataclass
class EfficiencyConfig:
    form: EfficiencyForm = EfficiencyForm.depo
    penalty_strength: float = 1.0


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
    batch_tokens: int = 8192  # tokens of an optimizer step, over all devices, with padding; by tree: without


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
    batch_size: int = 16  # trajectories of an optimizer step, over all devices and micro-batches
    validate_every: int = 0  # optimizer steps between validation rollouts; 0: once an epoch


@dataclass
class TrainerConfig:
    accelerator: str = "cpu"
    devices: int = 1  # of each node
    nodes: int = 1  # more than one: started by torchrun
    strategy: Strategy = Strategy.single
    precision: str = "32-true"
    accumulate: int = 1  # micro-batches that each device makes of its share of a batch: memory against speed
    checkpoint_every: float | None = 5.0  # minutes between checkpoints to go on from; 0: each step, null: none
    threads: int | None = None  # CPU threads of torch; null: OMP_NUM_THREADS, else all cores of the job
    gradient_clip: float | None = 1.0
    packing: PackingMode = PackingMode.prefix  # equal prefixes of a batch once; padding: each sequence on its own
    pass_tokens: int = 4096  # most tokens in one pass of a packed batch, or one episode, should that be longer
    flex_attention: bool = False  # FlexAttention for packed batches, on a GPU
    gradient_checkpointing: bool = False  # keep the input of each layer only: a forward pass more, for large models
