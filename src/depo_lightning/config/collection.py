"""Groups `teacher`, `search` and `rephraser`: where trajectories come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING


@dataclass
class TeacherConfig:
    name: str = MISSING


@dataclass
class ScriptedTeacherConfig(TeacherConfig):
    """Probabilities per proposal."""

    name: str = "scripted"
    noise: float = 0.05
    detour: float = 0.15
    verbosity: float = 0.5
    style_persistence: float = 0.9
    parts: dict[str, dict[str, float]] = field(default_factory=dict)  # other values for a mixture's environments


@dataclass
class RephraserConfig:
    name: str = MISSING


@dataclass
class SearchConfig:
    """Monte Carlo tree search over agent turns (DEPO, Eq. 2)."""

    tasks: int = 1500
    simulations: int = 4
    proposals: int = 3
    exploration: float = 1.0
    max_depth: int = 20
    seed: int = 0
    workers: int | None = None  # processes; null: as many as the job has cores
    concurrency: int = 8
    trajectories: Any = None  # a JSONL of trajectories to use instead of searching, or a list of several to join


def trajectory_files(search: SearchConfig) -> list[Path]:
    """The files to use instead of searching; none to search."""
    given = search.trajectories
    return [Path(file) for file in (given if isinstance(given, list) else [given] if given is not None else [])]


SCHEMAS = (
    ("teacher", "scripted_schema", ScriptedTeacherConfig),
    ("rephraser", "rephraser_schema", RephraserConfig),
)
