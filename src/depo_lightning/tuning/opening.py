"""Making a study, or going on with the one that is there: storage, identity, what is queued before sampling starts."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection

from depo_lightning.errors import ConfigError, DataError
from depo_lightning.files import write_atomic
from depo_lightning.tuning.config import SweeperConfig
from depo_lightning.tuning.space import Space
from depo_lightning.tuning.study import SAMPLER, WORKERS

JOURNAL = "journal.log"
IDENTITY, QUEUED, HOME = "identity", "queued", "home"
_INERT = ("output", "store", "logger", "sweep")  # say where things go, not what is measured


def open_storage(url: str | None, directory: Path) -> BaseStorage:
    """The study's storage: an Optuna URL, or a journal in the sweep's directory.

    Raises:
        ConfigError: it cannot be reached. The message shows no password. DataError: a damaged journal.
    """
    if url is None:
        path = directory / JOURNAL
        _mend(path)
        return JournalStorage(JournalFileBackend(str(path), _JournalLock(path)))
    try:
        if url.startswith("sqlite"):  # other workers may hold it for a moment
            return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
        return optuna.storages.get_storage(url)
    except Exception as error:
        lines = [line.strip() for line in str(error.__cause__ or error).replace(url, "…").splitlines()]
        reason = next((line for line in lines if line), type(error).__name__)
        raise ConfigError(
            f"hydra.sweeper.storage={_without_password(url)}: cannot be opened: {reason}; "
            "check the address, or leave it null for a journal in the sweep's directory"
        ) from error


def create_study(
    settings: SweeperConfig, space: Space, storage: BaseStorage, sample: DictConfig, directory: Path
) -> optuna.Study:
    """Make the study, or check that the one that is there is the same sweep in the same directory.

    Call it under `study_lock`. Killed in the middle, the next call goes on where it stopped.

    Args:
        settings: of the sweeper.
        space: what is searched.
        storage: where the study is.
        sample: a composed job, which tells one sweep from another.
        directory: the sweep's.

    Raises:
        ConfigError: the storage holds another sweep under this name, or one that lives in another directory.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = [StudyDirection[direction.upper()] for direction in settings.objectives.values()]
    identity = _identity(settings, space, sample)
    try:
        study = optuna.load_study(study_name=settings.study_name, storage=storage)
    except KeyError:
        study = optuna.create_study(study_name=settings.study_name, storage=storage, directions=directions)
    before = study.user_attrs.get(IDENTITY)
    if before is None and not study.trials:
        (directory / SAMPLER).unlink(missing_ok=True)  # of a study that is gone
        name_objectives(study, settings)
        study.set_user_attr(HOME, _mark(directory))
        study.set_user_attr(IDENTITY, identity)
    elif (home := study.user_attrs.get(HOME, {})).get("mark") != _mark(directory)["mark"]:
        raise ConfigError(
            f"hydra.sweeper.study_name={settings.study_name}: the storage's study of this name lives in "
            f"{home.get('path', 'another directory')}, not in {directory}; all who share it must see the same "
            "hydra.sweep.dir; for a new study choose another study_name"
        )
    elif changes := list(_differences(before or {}, identity)):
        raise ConfigError(
            f"hydra.sweeper.study_name={settings.study_name}: is another sweep, which differs in {change}; "
            "choose another study_name for this one"
            for change in changes[:8]
        )
    return study


def queue_points(study: optuna.Study, points: list[dict[str, Any]]) -> None:
    """Queue the points that the study does not have yet, in order, once. Call it under `study_lock`."""
    if study.user_attrs.get(QUEUED):
        return
    there = [trial.system_attrs.get("fixed_params", trial.params) for trial in study.trials]
    for point in points:
        if point not in there:
            study.enqueue_trial(point)
    study.set_user_attr(QUEUED, True)


def name_objectives(study: optuna.Study, settings: SweeperConfig) -> None:
    """Tell Optuna (and its dashboard) what the objectives are called."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(settings.objectives))


def settled_config(job: DictConfig, space: Space) -> dict[str, Any]:
    """What a job's configuration holds beside the searched keys and the places of its files, as dotted keys."""
    plain = OmegaConf.to_container(job, resolve=False)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    varied = [*space.parameters, *_INERT, *(line.lstrip("+").partition("=")[0] for line in space.replicates[:1])]
    varied = [name.replace("/", ".").partition("@")[0] for name in varied]
    flat = _flatten(plain)
    return {k: v for k, v in flat.items() if not any(k == name or k.startswith(f"{name}.") for name in varied)}


def _identity(settings: SweeperConfig, space: Space, sample: DictConfig) -> dict[str, Any]:
    identity = {
        "parameters": {name: distribution_to_json(p.distribution) for name, p in space.parameters.items()},
        "repetitions": space.replicates,
        "objectives": settings.objectives,
        "constraints": [vars(c) for c in settings.constraints],
        "sampler": settings.sampler,
        "points": settings.warm_start.points,
        "config": settled_config(sample, space),
    }
    return json.loads(json.dumps(identity, default=str))


def _mark(directory: Path) -> dict[str, str]:
    """What tells a sweep's directory from others, on whichever machine: a random word kept in it."""
    path = directory / WORKERS / "home"
    if not path.exists():
        write_atomic(path, uuid.uuid4().hex)
    return {"path": str(directory), "mark": path.read_text()}


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = _flatten(before), _flatten(now)
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            yield f"{key.removeprefix('config.')}: {old.get(key)} there, {new.get(key)} here"


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {prefix: value}
    return {
        k: v
        for name, inner in value.items()
        for k, v in _flatten(inner, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "…"


class _JournalLock(JournalFileOpenLock):
    """A lock that ends with its process; Optuna's own outlive a killed one for half a minute."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(_lock_of(path))

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def _mend(path: Path) -> None:
    """Cut off a last line that a full disk or a power cut left unfinished: it was never acted upon.

    Raises:
        DataError: a line before it is damaged.
    """
    if not path.exists():
        return
    with FileLock(_lock_of(path)):
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: is damaged ({error}); delete the line, or restore the file") from error


def _lock_of(journal: Path) -> Path:
    return journal.with_name(f".{journal.name}.lock")
