"""A line to walk and a scripted talker, small enough to know every path by heart."""

import pytest

from depo_lightning.agents.react import format_turn
from depo_lightning.envs.base import Split, StepResult, TextEnv
from depo_lightning.trajectory import Label, Source, Status, Step, Trajectory


class Line(TextEnv):
    """Cells in a row; `right` three times wins with 1 − 0.1 per step, `left` twice from the start loses."""

    name = "line"
    system_prompt = "walk"

    def __init__(self, broken=""):
        self.broken = broken
        self.plays = 0

    def reset(self, task):
        if self.broken == "reset" or self.broken == f"reset {task}":
            raise OSError("no such world")
        self.task, self.cell, self.count = task, 0, 0
        return self._text()

    def step(self, action):
        self.plays += 1
        if self.broken == action:
            raise ValueError(f"{action} breaks the world")
        self.count += 1
        valid = action in ("left", "right")
        self.cell += {"left": -1, "right": 1}.get(action, 0)
        won, lost = self.cell == 3, self.cell == -2
        return StepResult(self._text(), 1 - 0.1 * self.count if won else 0.0, won or lost, valid, won)

    def actions(self):
        return ["left", "right"]

    def snapshot(self):
        return self.task, self.cell, self.count

    def restore(self, mark):
        self.task, self.cell, self.count = mark

    def tasks(self, split, count):
        return list(range(count)) if split is Split.TRAIN else []

    def level(self, task):
        return "even" if task % 2 == 0 else "odd"

    def _text(self):
        return f"cell {self.cell} after {self.count}"


class Talker:
    """Proposes the listed actions, in order; one proposal is one of them, by the seed."""

    def __init__(self, *actions):
        self.texts = [action if "\n" in action else format_turn("so", action) for action in actions]
        self.calls = []

    async def propose(self, messages, k, seed):
        self.calls.append((len(messages), k, seed))
        start = seed % len(self.texts) if k == 1 else 0
        return [self.texts[(start + offset) % len(self.texts)] for offset in range(min(k, len(self.texts)))]


@pytest.fixture
def line():
    return Line


@pytest.fixture
def talker():
    return Talker


@pytest.fixture
def episode():
    """Builds a trajectory from the few numbers that a labelling looks at."""

    def build(id, task=0, tokens=(10,), reward=1.0, status=Status.FINISHED, level="easy", label=None, tree=True):
        steps = tuple(Step("see", "think", "act", format_turn("think", "act"), tokens=count) for count in tokens)
        return Trajectory(
            id=str(id),
            env="line",
            task=task,
            seed=0,
            system="walk",
            steps=steps,
            reward=reward,
            success=reward > 0,
            status=status,
            level=level,
            label=Label(label) if label else None,
            source=Source(f"line-{task}") if tree else None,
        )

    return build
