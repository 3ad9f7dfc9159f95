"""Group `model`, and the adapters of the training stages."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING


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


SCHEMAS = (("model", "tiny_schema", TinyConfig),)
