"""`BabyAIEnv`: AgentGym's text protocol for BabyAI, in process."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from depo_lightning.choices import Scoring
from depo_lightning.envs.babyai import levels as catalogue
from depo_lightning.envs.babyai.prompt import PHRASES, SYSTEM_PROMPT
from depo_lightning.envs.babyai.scene import COMPLETED, UNCHANGED, UNKNOWN, Plan, Scene, survey
from depo_lightning.envs.babyai.state import Ledger, LevelState
from depo_lightning.envs.babyai.view import View, describe
from depo_lightning.envs.base import Split, StepResult, TextEnv
from depo_lightning.errors import ConfigError

_NOT_RUNNING = "no episode is running; call reset first"


@dataclass(frozen=True, slots=True)
class Mark:
    """A state of one episode; valid in any `BabyAIEnv` of the same scoring."""

    task: int
    view: View
    reward: float
    score: float
    done: bool
    level: LevelState


class BabyAIEnv(TextEnv):
    """BabyAI as text.

    Task i is level i mod 40 with seed i div 40, as the reference's server counts, whatever `levels` says.

    Scoring "default": the episode ends at the low-level step at which minigrid calls the mission accomplished (success,
    reward 1 − 0.9 · steps / max_steps), failed, or out of steps (both reward 0), also in the middle of a macro action.

    Scoring "agentgym": a macro action is played to its end, and only its last low-level step counts; an end with
    reward 0.5 or less is announced but is none; minigrid's step limit is ignored, so a reward may fall below 0.

    Attributes:
        score: the server's running sum of rewards, which the reference's client reports as the reward; it differs from
            `StepResult.reward` only after a late success that did not end the episode.
    """

    name: ClassVar[str] = "babyai"
    system_prompt: ClassVar[str] = SYSTEM_PROMPT
    phrases: ClassVar[tuple[str, ...]] = PHRASES

    _level: Any
    _ledger: Ledger
    _view: View
    _scene: Scene

    def __init__(self, levels: str | Iterable[str | int] | None = None, scoring: str = Scoring.default) -> None:
        """Choose the levels that `tasks` draws from, and the scoring.

        Args:
            levels: names ("GoToRedBall", "BabyAI-GoToRedBall-v0") or numbers 1 to 40; None or "all" for all.
            scoring: "default" or "agentgym".

        Raises:
            ConfigError: unknown levels or scoring.
        """
        self.levels = catalogue.parse(levels)
        if scoring not in list(Scoring):
            raise ConfigError(f"env.scoring={scoring!r}: no such scoring; choose one of {[str(s) for s in Scoring]}")
        self.scoring = Scoring(scoring)
        self.score = self._reward = 0.0
        self._done = False
        self._task: int | None = None

    def reset(self, task: int) -> str:
        """Start task `task` and return goal, description and available actions.

        Raises:
            ConfigError: a negative task index.
        """
        self._generate(task)
        self._look_around()
        self._reward = self.score = 0.0
        self._done = False
        goal = self._level.mission.replace("then", "and").replace("after you", "and")
        return f"Your goal: {goal}\n{self._scene.description}{self._scene.menu}"

    def step(self, action: str) -> StepResult:
        """Play one action, cleaned as the reference's client cleans it.

        `valid` is False for actions that are unknown or refused; an available action that finds nothing to do (go to
        an object the agent already faces) is valid.

        Raises:
            RuntimeError: before `reset`, or after the end of the episode.
        """
        if self._task is None or self._done:
            raise RuntimeError(_NOT_RUNNING)
        command = clean(action)
        scene = self._scene
        plan = scene.actions.get(command)
        if "check" in command:
            return self._answer("You can take the following actions: " + ", ".join(scene.actions))
        if plan is None:
            refusal = UNCHANGED if not command else scene.reasons.get(command, UNKNOWN)
            return self._answer(refusal, valid=False)
        if not plan:
            return self._answer(UNCHANGED)
        completed = self._play_as_reference(plan) if self.scoring is Scoring.agentgym else self._play(plan)
        self._look_around()
        return self._answer(self._scene.description + (COMPLETED if completed else ""))

    def actions(self) -> list[str]:
        """The action strings available now, in the order the observation lists them."""
        if self._task is None:
            raise RuntimeError(_NOT_RUNNING)
        return list(self._scene.actions)

    def snapshot(self) -> Mark:
        """The exact state of the episode; picklable, untouched by later steps."""
        if self._task is None:
            raise RuntimeError(_NOT_RUNNING)
        return Mark(self._task, self._view, self._reward, self.score, self._done, self._ledger.save())

    def restore(self, mark: Mark) -> None:
        """Go back to `mark`; a mark of another task has its episode generated again first."""
        if mark.task != self._task:
            self._generate(mark.task)
        self._ledger.load(mark.level)
        self._view, self._reward, self.score, self._done = mark.view, mark.reward, mark.score, mark.done
        self._look_around()

    def tasks(self, split: Split, count: int) -> list[int]:
        """The first `count` tasks of a split, the configured levels in turn.

        Seeds that end in 0 are for testing, in 1 for validation, the others for training.
        """
        split = Split(split)
        rounds = [divmod(number, len(self.levels)) for number in range(count)]
        return [_split_seed(split, turn) * catalogue.COUNT + self.levels[place] for turn, place in rounds]

    def level(self, task: int) -> str:
        """Name of the level that task `task` belongs to, for example "GoToRedBallGrey"."""
        return catalogue.NAMES[task % catalogue.COUNT]

    def _look_around(self) -> None:
        self._scene = survey(self._view, self._level.agent_dir, describe(self._level.carrying))

    def _generate(self, task: int) -> None:
        if task < 0:
            raise ConfigError(f"task={task}: task indices start at 0")
        seed, index = divmod(int(task), catalogue.COUNT)
        self._level, self._view = catalogue.build(index, seed)
        self._ledger = Ledger(self._level)
        self._task = int(task)

    def _play(self, plan: Plan) -> bool:
        for move in plan:
            view, reward, ended, out_of_time, _ = self._level.step(move)
            unchanged, self._view = view == self._view, view
            if ended or out_of_time:
                self._done = True
                self._reward = float(reward)
                return self._reward > 0
            if unchanged:
                break
        return False

    def _play_as_reference(self, plan: Plan) -> bool:
        ended = False
        for move in plan:
            view, reward, ended, _, _ = self._level.step(move)
            self._reward = float(reward)
            if view == self._view:
                break
            self._view = view
        self._done = bool(ended) and self._reward > 0.5
        return bool(ended)

    def _answer(self, text: str, valid: bool = True) -> StepResult:
        self.score += self._reward
        success = self._done and self._reward > 0
        return StepResult(text + self._scene.menu, self._reward, self._done, valid, success)


def clean(action: str) -> str:
    """What the reference makes of an agent's action: letters, digits, commas and single blanks, in lower case."""
    return " ".join(re.sub(r"[^A-Za-z0-9, ]+", "", action).split()).lower()


def _split_seed(split: Split, number: int) -> int:
    """Seed `number` (from 0) of a split."""
    if split is Split.TEST:
        return 10 * number
    if split is Split.VALIDATION:
        return 10 * number + 1
    return 10 * (number // 8) + 2 + number % 8
