"""Group `model`, and the adapters on it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from depo_lightning.config import Config, LoraConfig, PretrainedConfig, TinyConfig
from depo_lightning.errors import ConfigError
from depo_lightning.model_source import find_source, read_config
from depo_lightning.validation.rules import COUNT, POSITIVE, Rule, at_least, positive, rule_faults

TINY_RULES: tuple[Rule, ...] = (
    *((f"model.{name}", at_least(1), COUNT) for name in ("hidden", "layers", "ff", "heads", "max_positions")),
    ("model.initializer_range", positive, POSITIVE),
    ("model.vocab_size", at_least(300), "must be at least 300: 256 bytes and the special tokens come first"),
)
_ADAPTED = ("bc", "filtered_bc", "depo")


def faults(config: Config) -> Iterator[str]:
    """What is wrong with the model."""
    if isinstance(config.model, PretrainedConfig):
        yield from _pretrained_faults(config, config.model)
    elif isinstance(config.model, TinyConfig):
        yield from _tiny_faults(config, config.model)


def _tiny_faults(config: Config, model: TinyConfig) -> Iterator[str]:
    if model.name != "tiny":
        yield f"model.name={model.name!r}: a model from scratch is called tiny; for another one write model=hf"
    yield from rule_faults(config, TINY_RULES)
    if model.heads >= 1 and model.hidden % (2 * model.heads):
        value = f"model.hidden={model.hidden} with model.heads={model.heads}"
        yield f"{value}: hidden must be an even multiple of heads"
    if config.rollout.max_context > model.max_positions:
        value = f"rollout.max_context={config.rollout.max_context}"
        yield f"{value}: the model has only model.max_positions={model.max_positions} positions"


def _pretrained_faults(config: Config, model: PretrainedConfig) -> Iterator[str]:
    if model.attention == "flash_attention_2" and find_spec("flash_attn") is None:
        yield "model.attention=flash_attention_2: the package flash_attn is not installed; write sdpa, or install it"
    if model.load_in_4bit:
        yield from _quantisation_faults(config)
    try:
        source = find_source(model)
        values = None if source.is_gguf else read_config(source)
    except ConfigError as error:
        yield from error.faults
        return
    if values is not None:
        yield from _architecture_faults(config, values)
    elif model.max_positions is not None:
        yield from _context_faults(config, model.max_positions)


def _context_faults(config: Config, positions: int) -> Iterator[str]:
    if config.rollout.max_context > positions:
        yield f"rollout.max_context={config.rollout.max_context}: the model reads {positions} tokens; lower it"


def _quantisation_faults(config: Config) -> Iterator[str]:
    if find_spec("bitsandbytes") is None:
        yield (
            "model.load_in_4bit=true: the package bitsandbytes is not installed; "
            'pip install -e ".[quantised]", or write false'
        )
    for name in _ADAPTED:
        if getattr(config, name).lora is None:
            yield f"{name}.lora=null: the weights of model.load_in_4bit=true cannot be trained; write {name}.lora={{}}"


def _architecture_faults(config: Config, values: dict[str, object]) -> Iterator[str]:
    from depo_lightning.models import LoraSettings
    from depo_lightning.models.pretrained import architecture, lora_faults

    try:
        known = architecture(values)
    except ConfigError as error:
        yield from error.faults
        return
    positions = getattr(known.get_text_config(), "max_position_embeddings", None)
    if positions:
        yield from _context_faults(config, positions)
    for name in _ADAPTED:
        lora: LoraConfig | None = getattr(config, name).lora
        if lora is not None and lora.targets != "all-linear":
            yield from lora_faults(known, LoraSettings(targets=lora.targets), f"{name}.lora")
