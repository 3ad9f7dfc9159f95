"""What every text environment offers. Environments know nothing of models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Split(StrEnum):
    """Disjoint sets of tasks."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class StepResult:
    """Answer to one action.

    Attributes:
        observation: text the agent sees next.
        reward: in [0, 1]; the episode's reward so far, 0 until the goal is reached.
        done: the episode is over.
        valid: the action was well-formed and possible; an invalid one changes nothing.
        success: the goal is reached, whatever the reward's discount says.
    """

    observation: str
    reward: float
    done: bool
    valid: bool
    success: bool = False


class TextEnv(ABC):
    """One text environment; an instance plays one episode at a time.

    Class attributes:
        name: key in the registry.
        system_prompt: instructions for the agent, the first message of a conversation.
        phrases: regular expressions of protocol text that a tokenizer trained from scratch keeps as
            single tokens, longest first.
        react: agent turns are read as a thought and an action; False: the whole text is the action.
        last_action: of several actions in a turn the last one is played; False: such a turn is answered with a
            reproach, without the environment.
    """

    name: ClassVar[str]
    system_prompt: ClassVar[str]
    phrases: ClassVar[tuple[str, ...]] = ()
    react: ClassVar[bool] = True
    last_action: ClassVar[bool] = False

    @abstractmethod
    def reset(self, task: int) -> str:
        """Start task `task` and return its first observation; the same index gives the same episode."""

    @abstractmethod
    def step(self, action: str) -> StepResult:
        """Play one agent action (the text after `Action:`)."""

    @abstractmethod
    def actions(self) -> list[str]:
        """The action strings available now."""

    @abstractmethod
    def snapshot(self) -> Any:
        """The exact state of the episode; cheap, picklable, independent of later steps."""

    @abstractmethod
    def restore(self, mark: Any) -> None:
        """Go back to a state that `snapshot` returned, any number of times."""

    @abstractmethod
    def tasks(self, split: Split, count: int) -> list[int]:
        """The first `count` task indices of a split, over the configured levels in turn."""

    @abstractmethod
    def level(self, task: int) -> str:
        """Name of the difficulty class a task belongs to."""

    def part(self, task: int) -> tuple[TextEnv, int]:
        """The environment that plays task `task`, and the task's index there: a mixture has several.

        Whoever plays an episode plays it in there and records it as that environment's, so that a record says the same
        wherever it comes from.
        """
        return self, task

    def origin(self, task: int) -> tuple[str, int]:
        """What a trajectory of task `task` has for `env` and `task`."""
        env, own = self.part(task)
        return env.name, own
