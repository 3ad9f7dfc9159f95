"""Evaluation episodes as a flat table, `episodes.csv`: one line per episode, in the order of `episodes.jsonl`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from depo_lightning.errors import DataError
from depo_lightning.evaluation.metrics import invalid_turns, succeeded
from depo_lightning.trajectory import Status, Trajectory

EPISODE_TABLE = "episodes.csv"
_COLUMNS = ("policy", "env", "task", "status", "success", "reward", "tokens", "steps", "invalid")


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """What one episode counts for: success 0 or 1, reward, agent tokens, steps, refused actions."""

    env: str
    task: int
    status: Status
    success: int
    reward: float
    tokens: int
    steps: int
    invalid: int

    @classmethod
    def of(cls, episode: Trajectory) -> EpisodeRow:
        """The row of an episode; one that was cut off is no success."""
        success, invalid = int(succeeded(episode)), invalid_turns(episode)
        tokens, steps = episode.agent_tokens, episode.t_step
        return cls(episode.env, episode.task, episode.status, success, episode.reward, tokens, steps, invalid)


def episode_table(episodes: Mapping[str, Iterable[Trajectory]]) -> str:
    """The text of `episodes.csv` for episodes by policy; the same episodes give the same text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for policy, played in episodes.items():
        for row in map(EpisodeRow.of, played):
            writer.writerow([policy, *(getattr(row, name) for name in _COLUMNS[1:])])
    return text.getvalue()


def read_episode_table(path: str | os.PathLike[str]) -> dict[str, list[EpisodeRow]]:
    """Episodes by policy, as `episode_table` wrote them.

    Raises:
        DataError: a column is missing or a value is not what its column holds; the first such line is named.
        OSError: the file cannot be read.
    """
    found: dict[str, list[EpisodeRow]] = {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := set(_COLUMNS) - set(reader.fieldnames or ()):
            raise DataError(f"{path}:1: no column {', '.join(sorted(missing))}; run the job again to write it anew")
        for line in reader:
            try:
                found.setdefault(line["policy"], []).append(_row(line))
            except (TypeError, ValueError) as error:
                raise DataError(f"{path}:{reader.line_num}: {error}; run the job again to write it anew") from error
    return found


def _row(line: Mapping[str, str]) -> EpisodeRow:
    numbers = (int(line[name]) for name in ("tokens", "steps", "invalid"))
    status, success, reward = Status(line["status"]), int(line["success"]), float(line["reward"])
    return EpisodeRow(line["env"], int(line["task"]), status, success, reward, *numbers)
