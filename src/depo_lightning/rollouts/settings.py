"""What can be set about rollouts, and what must hold before one starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from depo_lightning.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """How episodes are played.

    Attributes:
        max_steps: agent turns per episode.
        max_new_tokens: tokens per turn; a turn cut off here is played as it stands.
        temperature: of sampling; 0 takes the likeliest token.
        batch_size: episodes in flight.
        seed: of the sampling noise, common to all policies.
        max_context: tokens of a whole episode; one without room for a further turn is truncated.

    Raises:
        ConfigError: values out of range, all at once.
    """

    max_steps: int = 20
    max_new_tokens: int = 64
    temperature: float = 0.7
    batch_size: int = 128
    seed: int = 0
    max_context: int = 1024

    def __post_init__(self) -> None:
        counts = ("max_steps", "max_new_tokens", "batch_size", "max_context")
        faults = [f"rollout.{n}={getattr(self, n)}: must be at least 1" for n in counts if getattr(self, n) < 1]
        faults += [f"rollout.{n}={getattr(self, n)}: must be at least 0" for n in _FROM_ZERO if getattr(self, n) < 0]
        if self.max_new_tokens >= self.max_context:
            faults.append(
                f"rollout.max_new_tokens={self.max_new_tokens}: leaves no room for a prompt; "
                f"must be below rollout.max_context={self.max_context}"
            )
        if faults:
            raise ConfigError(faults)


_FROM_ZERO = ("temperature", "seed")


def check_tasks(tasks: Sequence[int]) -> None:
    """Refuse tasks that cannot be played.

    Raises:
        ConfigError: tasks repeat or are negative.
    """
    if faults := list(_task_faults(tasks)):
        raise ConfigError(faults)


def check_play(model: nn.Module, tasks: Sequence[int], settings: RolloutSettings) -> None:
    """Refuse what `play` could not carry out.

    Raises:
        ConfigError: tasks repeat or are negative; the model's context is shorter than the settings', or some of its
            layers attend to a window only.
    """
    faults = list(_task_faults(tasks))
    policy: Any = model  # a module's attributes have no types
    config = policy.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or settings.max_context
    if settings.max_context > longest:
        faults.append(f"rollout.max_context={settings.max_context}: the model reads {longest} tokens; lower it")
    window = getattr(config, "sliding_window", None)
    without_types = ("sliding_attention",) if window else ()  # Mistral's layers are all of one kind
    kinds = set(getattr(config, "layer_types", None) or without_types) - {"full_attention"}
    if kinds and not (kinds == {"sliding_attention"} and window and window >= settings.max_context):
        faults.append(
            f"model: layers of kind {sorted(kinds)} do not attend to all of rollout.max_context={settings.max_context} "
            "tokens, which rollouts rely on; lower it below the window, or choose another model"
        )
    if faults:
        raise ConfigError(faults)


def _task_faults(tasks: Sequence[int]) -> Iterator[str]:
    repeated = [task for task, count in Counter(tasks).items() if count > 1]
    if repeated:
        yield f"tasks: {repeated[:5]} occur more than once; each would be the same episode again"
    if any(task < 0 for task in tasks):
        yield "tasks: indices must be at least 0"
