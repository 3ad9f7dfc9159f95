"""model, tokenizer: a pretrained model as the other stages find it. Before all work: the hub may have to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from depo_lightning.config import Config, PretrainedConfig
from depo_lightning.errors import ConfigError
from depo_lightning.model_source import fetch, find_source
from depo_lightning.store import Stage

MODEL = "model"  # role of the dequantised checkpoint among a stage's inputs


def model_inputs(config: Config) -> dict[str, Stage]:
    """The stage that dequantises a GGUF file, once; nothing for models that are there as they are needed."""
    if not isinstance(config.model, PretrainedConfig):
        return {}
    source = find_source(config.model)
    if not source.is_gguf:
        return {}
    return {MODEL: Stage("model", 1, source.identity, partial(_dequantise, source.place), title="dequantising")}


def _dequantise(path: str, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.models.gguf import dequantise

    dequantise(Path(path), target)


def tokenizer_stage(config: Config, model: PretrainedConfig) -> Stage:
    """The model's own tokenizer; a hub model is downloaded here, and what cannot chat is refused."""
    identity = {"source": find_source(model).identity}
    return Stage("tokenizer", 1, identity, partial(_tokenizer, model), model_inputs(config), title="loading")


def _tokenizer(model: PretrainedConfig, target: Path, inputs: dict[str, Path]) -> None:
    from transformers import AutoTokenizer

    from depo_lightning.agents.chat import ChatRenderer

    folder = model_folder(model, inputs)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"model.path={model.path!r}: its tokenizer cannot be loaded: {error}") from error
    ChatRenderer(tokenizer)
    tokenizer.save_pretrained(target)


def model_folder(model: PretrainedConfig, inputs: Mapping[str, Path]) -> Path:
    """Where the model's files are."""
    if MODEL in inputs:
        return inputs[MODEL]
    try:
        return fetch(find_source(model))
    except OSError as error:
        raise ConfigError(f"model.path={model.path!r}: cannot be downloaded: {error}") from error
