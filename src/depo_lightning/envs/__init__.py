"""Text environments by name. To add one: subclass `TextEnv`, register it here, add `conf/env/<name>.yaml`."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from depo_lightning.envs.base import Split, StepResult, TextEnv
from depo_lightning.errors import ConfigError

__all__ = ["REGISTRY", "Split", "StepResult", "TextEnv", "kind", "make"]

REGISTRY = {
    "babyai": "depo_lightning.envs.babyai:BabyAIEnv",
    "webshop": "depo_lightning.envs.webshop:WebShopEnv",
    "mixture": "depo_lightning.envs.mixture:MixtureEnv",
}


def __getattr__(name: str) -> ModuleType:
    """An environment's package, loaded on first use."""
    if name in REGISTRY:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def make(name: str, **kwargs: Any) -> TextEnv:
    """Build the environment `name`; kwargs are the fields of its configuration group.

    Raises:
        ConfigError: unknown name, or fields the environment does not accept.
    """
    return kind(name)(**kwargs)


def kind(name: str) -> type[TextEnv]:
    """The class of the environment `name`.

    Raises:
        ConfigError: unknown name.
    """
    if name not in REGISTRY:
        raise ConfigError(f"env.name={name!r}: no such environment; choose one of {sorted(REGISTRY)}")
    module, _, attribute = REGISTRY[name].partition(":")
    found: type[TextEnv] = getattr(import_module(module), attribute)
    return found
