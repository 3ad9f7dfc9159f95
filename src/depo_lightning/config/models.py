"""Group `model`, and the adapters of the training stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from depo_lightning.choices import Attention, Dtype


@dataclass
class LoraConfig:
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: Any = "all-linear"  # or a list of module names such as [q_proj, v_proj], or a regular expression


@dataclass
class ModelConfig:
    name: str = MISSING


@dataclass
class TinyConfig(ModelConfig):
    """A Llama built and trained from scratch, with its own tokenizer."""

    name: str = "tiny"
    vocab_size: int = 512  # upper bound, for a tokenizer fitted on the training text
    hidden: int = 128
    layers: int = 3
    ff: int = 256
    heads: int = 4
    max_positions: int = 2048
    initializer_range: float = 0.02  # standard deviation of new weights


@dataclass
class PretrainedConfig(ModelConfig):
    """A chat model with weights and tokenizer of its own."""

    name: str = "hf"
    path: str = ""  # id on the Hugging Face hub, local directory, or GGUF file
    package: str | None = None  # an installed Python package that `path` lies in
    revision: str | None = None  # of a hub model: branch, tag or commit; null: main
    max_positions: int | None = None  # what a GGUF file's model reads; others say it themselves
    dtype: Dtype = Dtype.auto
    attention: Attention = Attention.sdpa
    load_in_4bit: bool = False  # quantise the frozen weights that an adapter is trained on; needs bitsandbytes


SCHEMAS = (("model", "tiny_schema", TinyConfig), ("model", "pretrained_schema", PretrainedConfig))
