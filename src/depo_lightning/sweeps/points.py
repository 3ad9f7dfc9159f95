"""The points of a sweep, read from its jobs' directories; jobs that failed or never ran are points too."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from depo_lightning.errors import DataError
from depo_lightning.evaluation.metrics import Estimate

RESULTS, ERROR = "results.json", "error.txt"


class PointStatus(StrEnum):
    """What became of a job; only a finished one has metrics."""

    FINISHED = "finished"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True)
class SweepPoint:
    """One job of a sweep.

    Attributes:
        job: Hydra's job number.
        directory: the job's output directory.
        overrides: what the job changed, key → value.
        status: whether there are results.
        metrics: metrics of the swept policy; empty unless finished.
        policy: the policy's name in the results.
        baselines: metrics of the job's other policies, by policy.
        reason: why there are no results.
    """

    job: int
    directory: Path
    overrides: dict[str, Any]
    status: PointStatus
    metrics: dict[str, Estimate] = field(default_factory=dict)
    policy: str = ""
    baselines: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    reason: str = ""

    def values(self, objectives: Sequence[str]) -> list[float]:
        """Means of the objectives, NaN where there is none."""
        return [self.metrics[name].mean if name in self.metrics else math.nan for name in objectives]

    def label(self, keys: Sequence[str]) -> str:
        """The overrides of `keys` in words: `α1 = 3, α2 = 1`."""
        return ", ".join(f"{_SHORT.get(key, key)} = {self.overrides[key]}" for key in keys if key in self.overrides)


_SHORT = {"alpha1": "α1", "alpha2": "α2"}


def collect_points(sweep_dir: str | os.PathLike[str], policy: str | None = None) -> list[SweepPoint]:
    """Read every job directory of a sweep, in order of job number.

    A job directory is a child with `.hydra/overrides.yaml`. Results that are absent, unreadable or lack the policy
    make the point missing or failed, with the reason; nothing is counted as 0.

    Args:
        sweep_dir: Hydra's sweep directory.
        policy: the policy to compare; None is the one that each job's results name as `main`.

    Raises:
        DataError: there is no such directory.
    """
    root = Path(sweep_dir)
    if not root.is_dir():
        raise DataError(f"{root}: no such directory; give the directory of a sweep")
    jobs = [path for path in root.iterdir() if (path / ".hydra" / "overrides.yaml").is_file()]
    return sorted((_read(path, policy) for path in jobs), key=lambda point: (point.job, point.directory.name))


def varied_keys(points: Sequence[SweepPoint]) -> list[str]:
    """The override keys whose values differ between points, sorted; a key that some points lack differs too."""
    keys = sorted({key for point in points for key in point.overrides})
    return [key for key in keys if len({repr(point.overrides.get(key)) for point in points}) > 1]


def _read(path: Path, policy: str | None) -> SweepPoint:
    job, overrides = _job_number(path), _overrides(path)
    if (path / ERROR).exists():
        return SweepPoint(job, path, overrides, PointStatus.FAILED, reason=_first_fault(path))
    try:
        results = json.loads((path / RESULTS).read_text(encoding="utf-8"))
        name = policy or results["main"]
        tables = {key: _estimates(entry["metrics"]) for key, entry in results["policies"].items()}
    except FileNotFoundError:
        return SweepPoint(job, path, overrides, PointStatus.MISSING, reason=f"no {RESULTS}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{RESULTS} cannot be read: {type(error).__name__}: {error}"
        return SweepPoint(job, path, overrides, PointStatus.FAILED, reason=reason)
    if name not in tables:
        reason = f"{RESULTS} has no policy {name!r}, only {', '.join(tables)}"
        return SweepPoint(job, path, overrides, PointStatus.FAILED, reason=reason)
    baselines = {key: table for key, table in tables.items() if key != name}
    return SweepPoint(job, path, overrides, PointStatus.FINISHED, tables[name], name, baselines)


def _estimates(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate]:
    def value(number: float | None) -> float:
        return math.nan if number is None else float(number)

    return {name: Estimate(value(m["mean"]), value(m["se"]), int(m["n"])) for name, m in metrics.items()}


def _job_number(path: Path) -> int:
    """Hydra's own record of the number, else the directory's name; -1 where neither tells."""
    record = path / ".hydra" / "hydra.yaml"
    if record.is_file():
        number = OmegaConf.select(OmegaConf.load(record), "hydra.job.num")
        if isinstance(number, int):
            return number
    return int(path.name) if path.name.isdigit() else -1


def _overrides(path: Path) -> dict[str, Any]:
    lines = OmegaConf.to_container(OmegaConf.load(path / ".hydra" / "overrides.yaml"))
    assert isinstance(lines, list)
    parsed = OverridesParser.create().parse_overrides([str(line) for line in lines])
    return {override.key_or_group: _plain(override.value()) for override in parsed}


def _plain(value: Any) -> Any:
    """Numbers, booleans and null as they are; quoted strings, lists and the like as text."""
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _first_fault(path: Path) -> str:
    lines = [line.strip() for line in (path / ERROR).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        return "failed"
    if lines[0].startswith("Traceback"):
        return lines[-1]
    return lines[1].lstrip("- ") if len(lines) > 1 else lines[0]
