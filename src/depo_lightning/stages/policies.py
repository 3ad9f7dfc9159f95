"""Models and tokenizers as the stages need them: new, loaded, made trainable, saved."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from depo_lightning import models
from depo_lightning.config import LoraConfig, ModelConfig
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.models import LoraSettings, TinySettings, add_lora, build_tiny
from depo_lightning.stages.context import settings

warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # Transformers' complaint about its own code
hf_logging.disable_progress_bar()  # loading takes milliseconds here; the stages have bars of their own


def load_policy(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The policy that a stage saved, ready to play.

    Raises:
        DataError: its files are damaged.
    """
    try:
        return models.load_policy(path)
    except SafetensorError as error:
        raise DataError(f"{path}: is damaged ({error}); delete the folder, and the stage is computed again") from error


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that a stage saved."""
    return AutoTokenizer.from_pretrained(path)


def new_model(model: ModelConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """The model that behaviour cloning starts from."""
    return build_tiny(settings(TinySettings, model), tokenizer, seed)


def trainable(model: PreTrainedModel, lora: LoraConfig | None, seed: int) -> Any:
    """The model with a fresh adapter, or all of it where `lora` is None."""
    if lora is None:
        return model.requires_grad_(True)
    try:
        return add_lora(model, settings(LoraSettings, lora), seed)
    except ValueError as error:  # PEFT's word for targets that the model does not have
        raise ConfigError(f"lora.targets={lora.targets!r}: {error}; write all-linear") from error


def save_policy(model: Any, tokenizer: PreTrainedTokenizerBase, target: Path, base: Path | None = None) -> None:
    """Save a checkpoint, or an adapter that names its base relative to its own place in the store."""
    models.save_policy(model, tokenizer, target, None if base is None else f"../../{base.parent.name}/{base.name}")
