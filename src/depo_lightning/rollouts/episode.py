"""One episode in progress: what the environment said, what the agent answered, and how it ended."""

from __future__ import annotations

import time
from typing import Any

from depo_lightning.agents.chat import Message
from depo_lightning.agents.react import FormatError, Turn, parse_turn
from depo_lightning.envs.base import StepResult, TextEnv
from depo_lightning.trajectory import Status, Step, Trajectory


class Episode:
    """Plays agent turns in an environment and keeps the record. It knows texts only, no tokens but their count.

    The record's extras hold the wall clock: `seconds` of the episode, and `turn_seconds` of every turn, from the moment
    its observation stands in `messages` to the call of `play`. Where episodes share a batch or a server, a turn's
    seconds hold what it waits for others.

    Attributes:
        env, task: as given; the record is of the environment that plays the task, see `TextEnv.part`.
        messages: the conversation so far, as the renderer takes it.
        status: None while the episode goes on.
    """

    def __init__(self, env: TextEnv, task: int, seed: int, max_steps: int) -> None:
        self.env, self.task, self.seed, self.max_steps = env, task, seed, max_steps
        self._world, self._own_task = env.part(task)
        self.status: Status | None = None
        self.messages: list[Message] = []
        self._started = self._observed = time.perf_counter()
        self._turn_seconds: list[float] = []
        self._steps: list[Step] = []
        self._extra: dict[str, Any] = {}
        self._error = self._level = self._observation = ""
        self._last = StepResult(observation="", reward=0.0, done=False, valid=True)
        if self._world.system_prompt:
            self.messages.append({"role": "system", "content": self._world.system_prompt})
        try:
            self._level = self._world.level(self._own_task)
            self._observe(self._world.reset(self._own_task))
        except Exception as error:  # whatever an environment raises ends this episode only, and is reported
            self.crash(error)

    @property
    def origin(self) -> tuple[str, int]:
        """Environment and task of the record."""
        return self._world.name, self._own_task

    def play(self, text: str, tokens: int) -> None:
        """Carry out one agent turn of `tokens` generated tokens."""
        self._turn_seconds.append(round(time.perf_counter() - self._observed, 6))
        turn, valid = Turn(thought="", action=""), False
        observation = self._observation
        try:
            turn = parse_turn(text, self._world.last_action) if self._world.react else Turn(thought="", action=text)
            self._last = self._world.step(turn.action)
            valid, reply = self._last.valid, self._last.observation
        except FormatError as error:  # answered without the environment, as the reference client does
            reply = str(error)
        except Exception as error:  # see the constructor
            self.crash(error)
            reply = ""
        self._steps.append(Step(observation, turn.thought, turn.action, text, tokens, valid))
        self.messages.append({"role": "assistant", "content": text})
        if self.status is not None:
            return
        self._observe(reply)
        if self._last.done:
            self._close(Status.FINISHED)
        elif len(self._steps) >= self.max_steps:
            self.truncate("max_steps")

    def truncate(self, reason: str) -> None:
        """End the episode before the environment does; `reason` goes to the trajectory's extras."""
        self._extra["reason"] = reason
        self._close(Status.TRUNCATED)

    def crash(self, error: Exception) -> None:
        """End the episode for a fault of the machinery; the record names it."""
        self._error = f"{type(error).__name__}: {error}"
        self._close(Status.CRASHED)

    def trajectory(self) -> Trajectory:
        """The record of an episode that has ended.

        Only a finished episode can be a success; a crashed one has no reward.
        """
        assert self.status is not None
        return Trajectory(
            id=f"{self._world.name}-{self._own_task}-{self.seed}",
            env=self._world.name,
            task=self._own_task,
            seed=self.seed,
            system=self._world.system_prompt,
            steps=tuple(self._steps),
            reward=0.0 if self.status is Status.CRASHED else min(max(float(self._last.reward), 0.0), 1.0),
            success=self.status is Status.FINISHED and self._last.success,
            status=self.status,
            level=self._level,
            error=self._error,
            extra={**self._extra, "turn_seconds": self._turn_seconds},
        )

    def _observe(self, observation: str) -> None:
        self._observation = observation
        self.messages.append({"role": "user", "content": observation})
        self._observed = time.perf_counter()

    def _close(self, status: Status) -> None:
        self.status = status
        self._extra["seconds"] = time.perf_counter() - self._started
