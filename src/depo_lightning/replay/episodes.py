"""From episode files to what the page shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depo_lightning.errors import DataError
from depo_lightning.replay.frames import frames
from depo_lightning.trajectory import Status, Trajectory, read_jsonl

if TYPE_CHECKING:
    from depo_lightning.envs.babyai import BabyAIEnv

EPISODES, CONFIG = "episodes.jsonl", "config.yaml"


class Only(StrEnum):
    """Which episodes to show."""

    all = "all"
    successes = "successes"
    failures = "failures"
    crashed = "crashed"


def read_episodes(path: Path) -> list[Trajectory]:
    """Episodes of a run's directory, or of a file.

    Raises:
        DataError: there is no such file, or a line of it is corrupt.
    """
    file = path / EPISODES if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file}: no such file; give a run's output directory, or a JSONL of episodes")
    return read_jsonl(file)


def chosen(episodes: Iterable[Trajectory], policies: Sequence[str], only: Only, limit: int | None) -> list[Trajectory]:
    """The episodes to show: of these policies (none: all), of this outcome, of the first `limit` tasks.

    Raises:
        DataError: a policy that no episode names; nothing is left.
    """
    everything = list(episodes)
    known = {policy_of(episode) for episode in everything}
    if unknown := [name for name in policies if name not in known]:
        raise DataError(f"--policy {' '.join(unknown)}: the episodes are of {sorted(known)}")
    tasks = list(dict.fromkeys((episode.env, episode.task) for episode in everything))[:limit]
    kept = set(tasks)
    found = [
        episode
        for episode in everything
        if (episode.env, episode.task) in kept
        and (not policies or policy_of(episode) in policies)
        and (only is Only.all or outcome(episode) == only)
    ]
    if not everything:
        raise DataError("there is no episode to show: the file is empty")
    if not found:
        raise DataError(f"--only {only}: no such episode among {len(everything)}")
    return found


def outcome(episode: Trajectory) -> Only:
    """A crash is no failure of the policy; an episode that was cut off is one."""
    if episode.status is Status.CRASHED:
        return Only.crashed
    return Only.successes if episode.success and episode.status is Status.FINISHED else Only.failures


def policy_of(episode: Trajectory) -> str:
    """Who played: as the report notes it; "" in files that hold one policy only."""
    return str(episode.extra.get("policy", ""))


def player(run: Path, episodes: Iterable[Trajectory]) -> BabyAIEnv | None:
    """The environment to play BabyAI's episodes again, scored as the run was; None if there are none of them."""
    if not any(episode.env == "babyai" for episode in episodes):
        return None
    from depo_lightning.choices import Scoring
    from depo_lightning.envs.babyai import BabyAIEnv

    file = (run if run.is_dir() else run.parent) / CONFIG
    return BabyAIEnv(scoring=_scoring(file) if file.is_file() else Scoring.default)


def _scoring(config: Path) -> str:
    """How a run's BabyAI episodes were scored, by its configuration, or by that of its part in a mixture."""
    import yaml

    from depo_lightning.choices import Scoring

    try:
        written = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{config}: no readable YAML ({reason}); mend it, or give the JSONL in a folder alone"
        ) from error
    for name in ("env", "parts", "babyai"):
        if isinstance(written, dict) and isinstance(written.get(name), dict):
            written = written[name]
    scoring = written.get("scoring") if isinstance(written, dict) else None
    return str(scoring or Scoring.default)


def page_row(episode: Trajectory, env: BabyAIEnv | None) -> dict[str, Any]:
    """One episode as the page's script reads it."""
    replayed = frames(episode, env)
    last = len(episode.steps) - 1
    steps = []
    for index, step in enumerate(episode.steps):
        known = replayed.rewards[index] if index < len(replayed.rewards) else None
        steps.append(
            {
                "observation": step.observation,
                "thought": step.thought,
                "action": step.action,
                "text": step.text,
                "tokens": step.tokens,
                "valid": step.valid,
                "reward": episode.reward if index == last and episode.status is not Status.CRASHED else known,
            }
        )
    return {
        "id": episode.id,
        "policy": policy_of(episode),
        "env": episode.env,
        "task": episode.task,
        "level": episode.level,
        "status": str(episode.status),
        "outcome": str(outcome(episode)),
        "reward": episode.reward,
        "tokens": episode.agent_tokens,
        "error": episode.error,
        "reason": str(episode.extra.get("reason", "")),
        "steps": steps,
        "pictures": replayed.pictures,
        "end": replayed.end,
        "note": replayed.note,
    }
