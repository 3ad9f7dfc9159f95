"""Pretrained chat models from disk or the hub, and what can be told of them without their weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from depo_lightning.choices import Attention, Dtype
from depo_lightning.errors import ConfigError
from depo_lightning.models.lora import LoraSettings, add_lora


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How a checkpoint is loaded.

    Attributes:
        dtype: of the weights; auto asks for what the device computes best.
        attention: of passes that are not packed.
        load_in_4bit: NF4 weights by bitsandbytes (Dettmers et al. 2023, arXiv 2305.14314), for adapters only.
        on_gpu: whether training is to run on a GPU.
    """

    dtype: Dtype = Dtype.auto
    attention: Attention = Attention.sdpa
    load_in_4bit: bool = False
    on_gpu: bool = False

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype that `auto` stands for here."""
        if self.dtype is Dtype.auto:
            return torch.bfloat16 if self.on_gpu else torch.float32
        return torch.bfloat16 if self.dtype is Dtype.bfloat16 else torch.float32


def load_pretrained(path: Path, settings: LoadSettings) -> PreTrainedModel:
    """The checkpoint in a directory, in evaluation mode.

    Raises:
        ConfigError: it cannot be loaded as a causal language model, or not with these settings.
    """
    options: dict[str, Any] = {}
    if settings.load_in_4bit:
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=settings.torch_dtype
        )
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            path, dtype=settings.torch_dtype, attn_implementation=str(settings.attention), **options
        )
    except (ImportError, ValueError, OSError, SafetensorError) as error:
        raise ConfigError(f"model.path: {path} cannot be loaded with {settings}: {error}") from error
    return model.eval()


def skeleton(config: PretrainedConfig) -> PreTrainedModel:
    """A model of that architecture without weights, on the meta device."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    return model


def architecture(values: dict[str, Any]) -> PretrainedConfig:
    """The architecture that a `config.json` describes.

    Raises:
        ConfigError: `transformers` does not know it.
    """
    try:
        return AutoConfig.for_model(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"model.path: transformers does not know this architecture: {error}") from error


def lora_faults(config: PretrainedConfig, settings: LoraSettings, name: str) -> list[str]:
    """What is wrong with an adapter's targets on that architecture; found without weights.

    Args:
        config: the architecture.
        settings: of the adapter.
        name: of the settings in the configuration, such as `bc.lora`.
    """
    model = skeleton(config)
    linear = {path.rpartition(".")[2] for path, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
    try:
        add_lora(model, settings)
    except re.error:
        return []  # validation/training.py tells of it, whatever the model
    except ValueError:
        known = f"choose from {sorted(linear - {'lm_head'})}, or write all-linear"
        return [f"{name}.targets={settings.targets!r}: the model has no such modules; {known}"]
    return []
