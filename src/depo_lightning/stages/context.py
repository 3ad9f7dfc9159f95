"""What every stage is given: the configuration, the tracker, and how to build what the configuration names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from depo_lightning import envs
from depo_lightning.config import Config

if TYPE_CHECKING:
    from depo_lightning.tracking import Tracker

T = TypeVar("T")
TRAJECTORIES = "trajectories.jsonl"
EPISODES = "episodes.jsonl"
VALIDATION = "validation.jsonl"  # the last episodes that a training looked at
STATS = "stats.json"
RESULTS = "results.json"
CURVES = "metrics.csv"  # the name that Lightning's CSVLogger gives it


@dataclass(frozen=True)
class Context:
    """Handed to every stage when it computes."""

    config: Config
    tracker: Tracker | None = None

    @property
    def make_env(self) -> Callable[[], envs.TextEnv]:
        """A picklable factory of the configured environment."""
        return partial(envs.make, **asdict(self.config.env))


def plain(value: Any, *leave_out: str) -> dict[str, Any]:
    """A config node as JSON-ready values for a stage's key, without the fields that cannot change the result."""
    return {name: _plain(item) for name, item in asdict(value).items() if name not in leave_out}


def write_stats(target: Path, tokens: int) -> None:
    """Note how many tokens a stage generated or trained on, for the report's account."""
    (target / STATS).write_text(json.dumps({"tokens": int(tokens)}) + "\n")


def settings(kind: type[T], node: Any, **values: Any) -> T:
    """A library's settings from the config node with the fields of the same names, and from `values`."""
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    found = {name: value for name, value in vars(node).items() if name in names}
    return kind(**found, **values)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str | Path) else value
