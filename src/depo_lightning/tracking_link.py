"""What ties a trial, its job's directory and its tracked run together: each of them names the other two.

`tracking.json` in the output directory names the tracked run; the run's configuration carries, as `job`, the directory
and the trial. Paths are told relative to where the program was started: nothing of the machine leaves it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from depo_lightning.files import write_atomic

if TYPE_CHECKING:
    from os import PathLike

TRACKING, TRIAL = "tracking.json", "trial.json"
_SETTLED = ("study", "trial", "params", "jobs", "warm_start")  # the rest is a trial's outcome


def write_link(directory: Path, link: Mapping[str, Any]) -> None:
    """Write `tracking.json`, atomically; an empty link takes away that of an earlier run in the same directory."""
    if link:
        write_atomic(directory / TRACKING, json.dumps(link, indent=1) + "\n")
    else:
        (directory / TRACKING).unlink(missing_ok=True)


def read_link(directory: str | PathLike[str]) -> dict[str, Any]:
    """The tracked run of a job: `kind`, `directory`, and for W&B `run_id`, `name`, `project`, `entity`, `url`.

    Empty where the job was not tracked; a file that cannot be read is told and counts as none.
    """
    return _read(Path(directory) / TRACKING)


def job_record(directory: str | PathLike[str]) -> dict[str, Any]:
    """What a tracked run tells about its job.

    Args:
        directory: the job's output directory, as Hydra and the sweeper left it before the job started.

    Returns:
        `directory`, relative; `choices`, group → choice, of a Hydra job; `trial`, of a study's job what `trial.json`
        tells before it starts (study, number, parameters), not how the trial stands.
    """
    root = Path(directory)
    record: dict[str, Any] = {"directory": local_name(root)}
    if choices := _choices(root / ".hydra" / "hydra.yaml"):
        record["choices"] = choices
    if trial := {name: value for name, value in _read(root / TRIAL).items() if name in _SETTLED}:
        record["trial"] = trial
    return record


def local_name(path: str | PathLike[str]) -> str:
    """A path relative to the working directory; elsewhere its last three parts, such as `2026-01-31/12-00-00/7`."""
    absolute = Path(path).absolute()
    if absolute.is_relative_to(Path.cwd()):
        return absolute.relative_to(Path.cwd()).as_posix()
    return "/".join(absolute.parts[1:][-3:])


def _choices(path: Path) -> dict[str, Any]:
    """The choices of the configuration's groups, out of Hydra's own record of the job."""
    choices = _read(path, lambda text: yaml.safe_load(text)["hydra"]["runtime"]["choices"])
    return {group: choice for group, choice in choices.items() if not group.startswith("hydra/")}


def _read(path: Path, parse: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    try:
        content = parse(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        warnings.warn(f"{path} cannot be read and is left out of the tracking: {error!r}", stacklevel=3)
        return {}
    return content
