"""Episodes that have been played, kept one by one, so that a stopped evaluation goes on with the other tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from depo_lightning.errors import DataError
from depo_lightning.files import machine_faults
from depo_lightning.stages.context import EPISODES
from depo_lightning.store import PROGRESS
from depo_lightning.trajectory import Status, Trajectory, from_row, to_row


class KeptEpisodes:
    """Episodes in a file that grows by a line at a time; a line that was not finished is none.

    Args:
        target: directory that a stage fills; the file lies in its `PROGRESS`.
    """

    def __init__(self, target: Path) -> None:
        self._path = target / PROGRESS / EPISODES

    def __iter__(self) -> Iterator[Trajectory]:
        with suppress(FileNotFoundError), self._path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                with suppress(ValueError, RecursionError, DataError):
                    yield from_row(json.loads(line))

    def add(self, episode: Trajectory) -> None:
        """Keep an episode; one that crashed is not kept, and is played again.

        Raises:
            MachineError: the file cannot be written.
        """
        if episode.status is Status.CRASHED:
            return
        with machine_faults("progress cannot be kept", self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps(to_row(episode)))  # a torn line before it does not swallow this one
