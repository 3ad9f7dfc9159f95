"""Group `model`."""

from __future__ import annotations

from collections.abc import Iterator

from depo_lightning.config import Config, TinyConfig
from depo_lightning.validation.rules import COUNT, Rule, at_least, rule_faults

TINY_RULES: tuple[Rule, ...] = (
    *((f"model.{name}", at_least(1), COUNT) for name in ("hidden", "layers", "ff", "heads", "max_positions")),
    ("model.vocab_size", at_least(300), "must be at least 300: 256 bytes and the special tokens come first"),
)
NAMES = ("tiny",)


def faults(config: Config) -> Iterator[str]:
    """What is wrong with the model."""
    if config.model.name not in NAMES:
        yield f"model.name={config.model.name!r}: choose from {list(NAMES)}"
    if isinstance(config.model, TinyConfig):
        yield from rule_faults(config, TINY_RULES)
        if config.model.heads >= 1 and config.model.hidden % (2 * config.model.heads):
            value = f"model.hidden={config.model.hidden} with model.heads={config.model.heads}"
            yield f"{value}: hidden must be an even multiple of heads"
        if config.rollout.max_context > config.model.max_positions:
            value = f"rollout.max_context={config.rollout.max_context}"
            yield f"{value}: the model has only model.max_positions={config.model.max_positions} positions"
