"""Models and tokenizers as the stages need them: new, loaded, made trainable, saved."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from depo_lightning import models
from depo_lightning.config import Config, LoraConfig, ModelConfig, PretrainedConfig, Strategy, TrainerConfig
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.models import LoraSettings, TinySettings, add_lora, build_tiny
from depo_lightning.models.lora import merged
from depo_lightning.models.pretrained import LoadSettings, load_pretrained
from depo_lightning.stages.context import settings

warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # Transformers' complaint about its own code
hf_logging.disable_progress_bar()  # loading takes milliseconds here; the stages have bars of their own


def load_policy(path: Path) -> tuple[Any, PreTrainedTokenizerBase]:
    """The policy that a stage saved, ready to play; see `models.load_policy`.

    Raises:
        DataError: its files are damaged.
    """
    try:
        return models.load_policy(path)
    except SafetensorError as error:
        raise DataError(f"{path}: is damaged ({error}); delete the folder, and the stage is computed again") from error


def load_start(path: Path, config: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The policy that training starts from and is compared with, loaded as the configuration wants its weights."""
    if not isinstance(config.model, PretrainedConfig):
        return load_policy(path)
    return load_pretrained(path, load_settings(config)), load_tokenizer(path)


def on_device(model: PreTrainedModel, trainer: TrainerConfig) -> PreTrainedModel:
    """The model where training would put it, on the first device; a quantised one is there already."""
    if trainer.accelerator == "cpu" or getattr(model, "is_quantized", False):
        return model
    device = {"gpu": "cuda"}.get(trainer.accelerator, trainer.accelerator)
    moved: Any = model
    return moved.to(device)


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that a stage saved."""
    return AutoTokenizer.from_pretrained(path)


def new_model(
    model: ModelConfig, tokenizer: PreTrainedTokenizerBase, seed: int, pretrained: PreTrainedModel | None = None
) -> PreTrainedModel:
    """The model that behaviour cloning starts from: `pretrained`, or for a tiny one random weights."""
    return build_tiny(settings(TinySettings, model), tokenizer, seed) if pretrained is None else pretrained


def load_settings(config: Config) -> LoadSettings:
    """How the configured pretrained model is loaded for training.

    The shards of a model hold weights of one dtype, which is then that of the trained ones.
    """
    shards = config.trainer.strategy is Strategy.fsdp
    return settings(LoadSettings, config.model, on_gpu=config.trainer.accelerator != "cpu" and not shards)


def check_lengths(model: PreTrainedModel, lengths: Mapping[str, int]) -> None:
    """Refuse episodes that the model cannot read to their end.

    Args:
        model: to be trained.
        lengths: tokens by trajectory.

    Raises:
        DataError: all of them.
    """
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    long = {name: length for name, length in lengths.items() if most and length > most}
    if long:
        worst = max(long, key=lambda name: long[name])
        raise DataError(
            f"{len(long)} of {len(lengths)} trajectories are longer than the model's context of {most} tokens "
            f"({worst}: {long[worst]}); lower search.max_depth, or choose a model that reads more"
        )


def in_training_dtype(model: PreTrainedModel, lora: LoraConfig | None) -> PreTrainedModel:
    """The model with weights as training has them: those that are trained have 32 bits, or small updates are lost.

    Adapters have 32 bits anyway, so a model behind adapters stays as it is.
    """
    if lora is not None or model.dtype in (torch.float32, torch.float64):
        return model
    whole: Any = model
    return whole.float()


def trainable(model: PreTrainedModel, lora: LoraConfig | None, seed: int) -> Any:
    """The model with a fresh adapter, or all of it where `lora` is None."""
    if lora is None:
        return in_training_dtype(model, lora).requires_grad_(True)
    try:
        return add_lora(model, settings(LoraSettings, lora), seed)
    except ValueError as error:  # PEFT's word for targets that the model does not have
        raise ConfigError(f"lora.targets={lora.targets!r}: {error}; write all-linear") from error


def save_policy(model: Any, tokenizer: PreTrainedTokenizerBase, target: Path, base: Path | None = None) -> None:
    """Save a checkpoint, or an adapter that names its base relative to its own place in the store."""
    models.save_policy(model, tokenizer, target, None if base is None else f"../../{base.parent.name}/{base.name}")


def save_merged(model: Any, tokenizer: PreTrainedTokenizerBase, target: Path, base: PreTrainedModel | None) -> None:
    """Save a checkpoint that needs no other: adapters become part of the weights.

    Args:
        model: bare, or with adapters.
        tokenizer: the policy's own.
        target: directory.
        base: the model in full precision, where the one that was trained on is quantised.
    """
    models.save_policy(merged(model, base), tokenizer, target)
