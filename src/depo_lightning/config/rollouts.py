"""Group `rollout`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class RolloutConfig:
    test_tasks: int = 300
    validation_tasks: int = 60
    split: str = "test"  # the tasks that the evaluation plays: test, or validation to choose settings
    max_steps: int = 20
    max_new_tokens: int = 64
    temperature: float = 0.7
    batch_size: int = 128
    max_context: int = 1024
    seed: int = 0
    workers: int | None = None  # processes that share the episodes of a model on the CPU; null: the job's cores
