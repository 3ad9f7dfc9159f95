"""`MixtureEnv`: tasks of several environments in turn, as one environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from depo_lightning import envs
from depo_lightning.envs.base import Split, StepResult, TextEnv
from depo_lightning.errors import ConfigError

_FIELD = re.compile(r"(?<![\w/.-])env\.(?!parts\.)(?=\w)")
_NOT_RUNNING = "no episode is running; call reset first"


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of an episode: the part that plays it, and that part's own mark."""

    part: str
    mark: Any


class MixtureEnv(TextEnv):
    """Several environments as one.

    Of n parts, in the order of the alphabet, task i is task i // n of part i % n, so that tasks of all parts have
    numbers of their own. A split's tasks take the parts in turn: each has an equal share, up to one task. While an
    episode runs, instructions and form of a turn are those of its part; what is recorded of it names the part and the
    task there (see `TextEnv.part`).
    """

    name: ClassVar[str] = "mixture"

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Build the parts.

        Args:
            parts: by the name of an environment, the fields of its configuration group.

        Raises:
            ConfigError: no parts, a part that is no environment, and every part's own faults, all at once.
        """
        faults = [] if parts else ["env.parts={}: name at least one environment"]
        self._parts: dict[str, TextEnv] = {}
        for name in sorted(parts):
            try:
                with _faults_of(name):
                    self._parts[name] = _make(name, **parts[name])
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(faults)
        self._names = tuple(self._parts)
        phrases = dict.fromkeys(phrase for part in self._parts.values() for phrase in part.phrases)
        self.phrases = tuple(phrases)  # type: ignore[misc]  # of these parts
        self.system_prompt = ""  # type: ignore[misc]  # of the running part
        self._running = ""

    def part(self, task: int) -> tuple[TextEnv, int]:
        """The part that plays task `task`, and the task's index there."""
        own, place = divmod(int(task), len(self._names))
        return self._parts[self._names[place]], own

    def reset(self, task: int) -> str:
        """Start task `task` in its part."""
        own, place = divmod(int(task), len(self._names))
        self._run(self._names[place])
        return self._now.reset(own)

    def step(self, action: str) -> StepResult:
        """Play one action in the running part."""
        return self._now.step(action)

    def actions(self) -> list[str]:
        """The running part's."""
        return self._now.actions()

    def snapshot(self) -> Mark:
        """The exact state of the episode, and which part it is of."""
        return Mark(self._running, self._now.snapshot())

    def restore(self, mark: Mark) -> None:
        """Go back to `mark`, in its part."""
        self._run(mark.part)
        self._now.restore(mark.mark)

    def tasks(self, split: Split, count: int) -> list[int]:
        """The first `count` tasks of a split, the parts in turn.

        Raises:
            ConfigError: a part has fewer than its share.
        """
        parts, found = len(self._names), [0] * count
        for place, name in enumerate(self._names):
            with _faults_of(name):
                share = self._parts[name].tasks(split, len(range(place, count, parts)))
            found[place::parts] = [own * parts + place for own in share]
        return found

    def level(self, task: int) -> str:
        """The part's name of the level."""
        part, own = self.part(task)
        return part.level(own)

    @property
    def _now(self) -> TextEnv:
        if not self._running:
            raise RuntimeError(_NOT_RUNNING)
        return self._parts[self._running]

    def _run(self, name: str) -> None:
        self._running = name
        self.system_prompt = self._parts[name].system_prompt  # type: ignore[misc]
        self.react = self._parts[name].react  # type: ignore[misc]
        self.last_action = self._parts[name].last_action  # type: ignore[misc]


def _make(part: str, /, name: str | None = None, **fields: Any) -> TextEnv:
    """Build a part. Records know an environment by its name alone, so each can be in a mixture once, under it."""
    if name is not None and name != part:
        raise ConfigError(f"env.name={name!r}: a part is called as its environment, env.parts.{name}")
    if part == MixtureEnv.name:
        raise ConfigError("env.name='mixture': a mixture is no part of another; name its environments")
    return envs.make(part, **fields)


@contextmanager
def _faults_of(part: str) -> Iterator[None]:
    """Let the faults of a part name its fields by their place in the mixture."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError([_FIELD.sub(f"env.parts.{part}.", fault) for fault in error.faults]) from error
