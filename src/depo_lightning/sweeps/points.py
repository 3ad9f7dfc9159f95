"""The points of a sweep, read from its jobs' directories; jobs that failed or never ran are points too."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from depo_lightning.errors import ConfigError, DataError
from depo_lightning.evaluation.episode_table import EPISODE_TABLE, EpisodeRow, read_episode_table
from depo_lightning.evaluation.metrics import Estimate
from depo_lightning.results import tables as results_tables
from depo_lightning.sweeps.trials import Trial, TrialState, read_trial

if TYPE_CHECKING:
    from depo_lightning.sweeps.configurations import Configuration

RESULTS, ERROR = "results.json", "error.txt"
OVERRIDES, RECORD = ".hydra/overrides.yaml", ".hydra/hydra.yaml"
UNREADABLE = (OSError, ValueError, TypeError, YAMLError, OmegaConfBaseException, HydraException)  # of a YAML file
_INPUT_FAULTS = (ConfigError.title, DataError.title)  # what the texts of such errors start with
SEED = "seed"  # the override that repeats a configuration


class PointStatus(StrEnum):
    """What became of a job; only a finished one has metrics."""

    FINISHED = "finished"
    FAILED = "failed"
    PRUNED = "pruned"
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
        seed: the training seed; None where nothing tells.
        episodes: evaluation episodes by policy; empty where the job left no readable `episodes.csv`.
        fault: why `episodes.csv` or `trial.json` could not be used.
        trial: the trial that the job belongs to; None in a sweep without trials.
        policies: the policies in the job's results; empty where these cannot be read.
        known: whether `overrides` could be read.
    """

    job: int
    directory: Path
    overrides: dict[str, Any]
    status: PointStatus
    metrics: dict[str, Estimate] = field(default_factory=dict)
    policy: str = ""
    baselines: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    reason: str = ""
    seed: int | None = None
    episodes: dict[str, list[EpisodeRow]] = field(default_factory=dict, repr=False)
    fault: str = ""
    trial: Trial | None = None
    policies: tuple[str, ...] = ()
    known: bool = True

    def values(self, objectives: Sequence[str]) -> list[float]:
        """Means of the objectives, NaN where there is none."""
        return [self.metrics[name].mean if name in self.metrics else math.nan for name in objectives]

    @property
    def exit_code(self) -> int:
        """What the job's failure asks of the sweep: 2 where the input is at fault, 1 otherwise; 0 without one."""
        marker = self.directory / ERROR
        if marker.is_file():
            text = marker.read_text(encoding="utf-8", errors="replace").lstrip()
            return 2 if text.startswith(_INPUT_FAULTS) else 1
        return int(self.trial is not None and self.trial.state is TrialState.FAIL)


def collect_points(sweep_dir: str | os.PathLike[str], policy: str | None = None) -> list[SweepPoint]:
    """Read every job directory of a sweep, in order of job number.

    Results that are absent, unreadable or lack the policy
    make the point missing or failed, with the reason; so do unreadable files of Hydra. Nothing is counted as 0.

    Args:
        sweep_dir: Hydra's sweep directory.
        policy: the policy to compare; None is the one that each job's results name as `main`.

    Raises:
        DataError: there is no such directory.
    """
    points = [_read(path, policy) for path in job_directories(sweep_dir)]
    by_job = {job: point.trial for point in points if point.trial for job in point.trial.jobs}
    points = [_of_trial(point, point.trial or by_job.get(point.job)) for point in points]
    return sorted(points, key=lambda point: (point.job, point.directory.name))


def job_directories(sweep_dir: str | os.PathLike[str]) -> list[Path]:
    """The jobs' directories: children with `.hydra/overrides.yaml`. The sweeper's own files are none.

    Raises:
        DataError: there is no such directory.
    """
    root = Path(sweep_dir)
    if not root.is_dir():
        raise DataError(f"{root}: no such directory; give the directory of a sweep")
    return [path for path in root.iterdir() if (path / OVERRIDES).is_file()]


def varied_keys(points: Sequence[SweepPoint | Configuration]) -> list[str]:
    """The override keys whose values differ between points, sorted; a key that some points lack differs too.

    Points whose overrides could not be read tell nothing.
    """
    points = [point for point in points if point.known]
    keys = sorted({key for point in points for key in point.overrides})
    return [key for key in keys if len({repr(point.overrides.get(key)) for point in points}) > 1]


def _read(path: Path, policy: str | None) -> SweepPoint:
    point = _read_results(path, policy)
    try:
        return replace(point, trial=read_trial(path))
    except ValueError as error:
        return replace(point, fault=str(error))


def _of_trial(point: SweepPoint, trial: Trial | None) -> SweepPoint:
    """The job as one of a trial, whose end tells what became of a job without results."""
    if trial is None or point.status is PointStatus.FINISHED:
        return replace(point, trial=trial)
    status = {TrialState.PRUNED: PointStatus.PRUNED, TrialState.FAIL: PointStatus.FAILED}.get(trial.state, point.status)
    reason = trial.reason if point.status is PointStatus.MISSING and trial.reason else point.reason
    return replace(point, trial=trial, status=status, reason=reason)


def _read_results(path: Path, policy: str | None) -> SweepPoint:
    job, lost = _job_number(path)
    overrides, unread = _overrides(path)
    seed = overrides.get(SEED)
    seed = seed if isinstance(seed, int) else None
    unfinished = SweepPoint(job, path, overrides, PointStatus.FAILED, seed=seed, known=not unread)
    faults = [fault for fault in (unread, lost) if fault]
    if (path / ERROR).exists():
        faults.append(_first_fault(path))
    if faults:
        return replace(unfinished, reason="; ".join(faults))
    try:
        results = json.loads((path / RESULTS).read_text(encoding="utf-8"))
        name = policy or str(results["main"])
        tables: dict[str, dict[str, Estimate]] = {key: {} for key in results["policies"]}
        for within, entries in results_tables(results):
            for key, entry in entries.items():
                tables[key] |= {f"{within}{metric}": e for metric, e in _estimates(entry["metrics"]).items()}
        trained = results.get("seeds", {}).get("training")
    except FileNotFoundError:
        return replace(unfinished, status=PointStatus.MISSING, reason=f"no {RESULTS}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        return replace(unfinished, reason=unreadable(RESULTS, error))
    policies = tuple(tables)
    if name not in tables:
        reason = f"{RESULTS} has no policy {name!r}, only {', '.join(tables)}"
        return replace(unfinished, reason=reason, policies=policies)
    baselines = {key: table for key, table in tables.items() if key != name}
    episodes, fault = _episodes(path)
    return SweepPoint(
        job, path, overrides, PointStatus.FINISHED, tables[name], name, baselines,
        seed=trained if isinstance(trained, int) else seed, episodes=episodes, fault=fault, policies=policies,
    )  # fmt: skip


def _episodes(path: Path) -> tuple[dict[str, list[EpisodeRow]], str]:
    """The job's episodes, or none and why."""
    try:
        return read_episode_table(path / EPISODE_TABLE), ""
    except FileNotFoundError:
        return {}, f"no {EPISODE_TABLE}"
    except (OSError, ValueError, DataError) as error:
        fault = error.faults[0] if isinstance(error, DataError) else str(error)
        return {}, f"{EPISODE_TABLE} cannot be read: {fault.removeprefix(f'{path}/')}"


def _estimates(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate]:
    def value(number: float | None) -> float:
        return math.nan if number is None else float(number)

    return {name: Estimate(value(m["mean"]), value(m["se"]), int(m["n"])) for name, m in metrics.items()}


def unreadable(name: str, error: Exception) -> str:
    """What is wrong with a file, on one line."""
    return f"{name} cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"


def _job_number(path: Path) -> tuple[int, str]:
    """Hydra's own record of the number, else the directory's name; -1 where neither tells. And a broken record."""
    named, record = int(path.name) if path.name.isdecimal() else -1, path / RECORD
    if not record.is_file():
        return named, ""
    try:
        number = OmegaConf.select(OmegaConf.load(record), "hydra.job.num")
    except UNREADABLE as error:
        return named, unreadable(RECORD, error)
    return (number if isinstance(number, int) else named), ""


def _overrides(path: Path) -> tuple[dict[str, Any], str]:
    """What the job changed, or nothing and why."""
    try:
        lines = OmegaConf.to_container(OmegaConf.load(path / OVERRIDES))
        if not isinstance(lines, list):
            raise ValueError("expected a list of overrides")
        parsed = OverridesParser.create().parse_overrides([str(line) for line in lines])
        return {override.key_or_group: _plain(override.value()) for override in parsed}, ""
    except UNREADABLE as error:
        return {}, unreadable(OVERRIDES, error)


def _plain(value: Any) -> Any:
    """Numbers, booleans and null as they are; quoted strings, lists and the like as text."""
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _first_fault(path: Path) -> str:
    try:
        data = (path / ERROR).read_bytes()
    except OSError as error:
        return unreadable(ERROR, error)
    text = data.decode("utf-8", errors="replace")
    garbled = "" if text.encode("utf-8") == data else f"{ERROR} is not UTF-8: "
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "failed"
    if lines[0].startswith("Traceback"):
        return garbled + lines[-1]
    return garbled + (lines[1].lstrip("- ") if len(lines) > 1 else lines[0])
