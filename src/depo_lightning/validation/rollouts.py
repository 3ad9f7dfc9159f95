"""Group `rollout`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from depo_lightning import envs
from depo_lightning.agents.http_key import key_fault
from depo_lightning.config import Backend, Config, RolloutConfig, ServerRolloutConfig
from depo_lightning.validation.rules import (
    COUNT,
    ENV_NAME,
    NOT_THE_KEY,
    POSITIVE,
    Rule,
    address,
    at_least,
    positive,
    rule_faults,
)

RULES: tuple[Rule, ...] = (
    ("rollout.test_tasks", at_least(2), "must be at least 2, or there is no standard error"),
    ("rollout.validation_tasks", at_least(1), COUNT),
    *((f"rollout.{name}", at_least(1), COUNT) for name in ("max_steps", "max_new_tokens", "batch_size", "workers")),
    ("rollout.max_context", at_least(16), "must be at least 16 tokens"),
    ("rollout.temperature", at_least(0), "must be 0 (greedy) or more"),
)
SERVER_RULES: tuple[Rule, ...] = (
    ("rollout.concurrency", at_least(1), COUNT),
    ("rollout.retries", at_least(0), "must be 0 or more"),
    ("rollout.timeout", positive, POSITIVE + " of seconds"),
)


def faults(config: Config) -> Iterator[str]:
    """What is wrong with how policies are played."""
    yield from rule_faults(config, RULES)
    if config.rollout.split not in list(envs.Split):
        yield f"rollout.split={config.rollout.split!r}: choose from {[str(s) for s in envs.Split]}"
    if config.rollout.max_new_tokens >= config.rollout.max_context:
        yield (
            f"rollout.max_new_tokens={config.rollout.max_new_tokens}: must be less than "
            f"rollout.max_context={config.rollout.max_context}, or no turn fits"
        )
    if isinstance(config.rollout, ServerRolloutConfig):
        yield from rule_faults(config, SERVER_RULES)
        yield from _server_faults(config.rollout)
    if config.rollout.backend != _backend(config.rollout):
        yield (
            f"rollout.backend={config.rollout.backend}: is set by the group's presets; choose rollout=server "
            "or rollout=default"
        )


def _backend(rollout: RolloutConfig) -> Backend:
    return Backend.server if isinstance(rollout, ServerRolloutConfig) else Backend.local


def _server_faults(server: ServerRolloutConfig) -> Iterator[str]:
    if find_spec("openai") is None:
        yield 'rollout=server: the package openai is not installed; run pip install -e ".[http]"'
    yield from _address_faults(server.base_url)
    name = server.api_key_env
    if name is not None and not ENV_NAME.fullmatch(name):
        yield (
            f"rollout.api_key_env: must be the name of an environment variable {NOT_THE_KEY}, which is not shown here; "
            "if it was the key, remove .hydra in the run's directory, where Hydra noted the command line"
        )
    elif fault := key_fault("rollout.api_key_env", name):
        yield fault


def _address_faults(url: str) -> Iterator[str]:
    """Faults of a base URL; one with a user or password is in no message, log or file but where it was written."""
    sound = address(url)
    if "@" in (urlsplit(url).netloc if sound else url):
        yield "rollout.base_url: holds a user or password, which would stand in every log; use rollout.api_key_env"
    elif not sound:
        yield f"rollout.base_url={url}: must be an address such as http://localhost:8000/v1"
