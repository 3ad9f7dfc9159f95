"""`QuestionEnv`: a question is an episode of one turn, so rollouts answer questions as they play."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from depo_lightning.envs.base import Split, StepResult, TextEnv


class QuestionEnv(TextEnv):
    """Asks question i as task i, and takes whatever is answered, as it stands.

    It does not judge: rewards are 0, and whoever knows the answers grades the texts.

    Args:
        name: of the set.
        questions: their texts.
        system: instruction of the conversation; none if empty.
        prompt: what is asked; `{question}` stands for the question.
    """

    name: ClassVar[str] = "questions"
    react: ClassVar[bool] = False

    def __init__(self, name: str, questions: Sequence[str], system: str = "", prompt: str = "{question}") -> None:
        self._set, self._questions, self._prompt = name, questions, prompt
        self.system_prompt = system  # type: ignore[misc]  # the one of this set

    def reset(self, task: int) -> str:
        """The prompt with question `task`."""
        return self._prompt.replace("{question}", self._questions[task])

    def step(self, action: str) -> StepResult:
        """Take the answer; the episode is over."""
        return StepResult(observation="", reward=0.0, done=True, valid=True)

    def actions(self) -> list[str]:
        """None: any text is an answer."""
        return []

    def snapshot(self) -> None:
        """Nothing changes before the answer."""

    def restore(self, mark: None) -> None:
        """See `snapshot`."""

    def tasks(self, split: Split, count: int) -> list[int]:
        """The first `count` questions; a set has no splits here."""
        return list(range(min(count, len(self._questions))))

    def level(self, task: int) -> str:
        """The set's name."""
        return self._set
