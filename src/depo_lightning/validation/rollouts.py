"""Group `rollout`."""

from __future__ import annotations

from collections.abc import Iterator

from depo_lightning import envs
from depo_lightning.config import Config
from depo_lightning.validation.rules import COUNT, Rule, at_least, rule_faults

RULES: tuple[Rule, ...] = (
    ("rollout.test_tasks", at_least(2), "must be at least 2, or there is no standard error"),
    ("rollout.validation_tasks", at_least(1), COUNT),
    *((f"rollout.{name}", at_least(1), COUNT) for name in ("max_steps", "max_new_tokens", "batch_size", "workers")),
    ("rollout.max_context", at_least(16), "must be at least 16 tokens"),
    ("rollout.temperature", at_least(0), "must be 0 (greedy) or more"),
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
