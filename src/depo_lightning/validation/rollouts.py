"""Group `rollout`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from depo_lightning import envs
from depo_lightning.agents.http_key import key_fault
from depo_lightning.config import Backend, Config, RolloutConfig, ServerRolloutConfig
from depo_lightning.validation.rules import COUNT, POSITIVE, Rule, at_least, positive, rule_faults
from depo_lightning.validation.servers import address_faults, key_name_faults

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
    yield from address_faults("rollout", server.base_url)
    named = list(key_name_faults("rollout", server.api_key_env))
    yield from named
    if not named and (fault := key_fault("rollout.api_key_env", server.api_key_env)):
        yield fault
