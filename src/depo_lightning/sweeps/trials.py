"""What the Optuna sweeper notes beside a job: which trial it belongs to, and what became of that trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from depo_lightning.tracking_link import TRIAL


class TrialState(StrEnum):
    """State of a trial; only a complete one has objective values of its own."""

    COMPLETE = "complete"
    FAIL = "fail"
    PRUNED = "pruned"
    RUNNING = "running"


@dataclass(frozen=True)
class Trial:
    """One trial of a study.

    Attributes:
        study: the study's name.
        number: the trial's number in it.
        state: what became of it.
        reason: why it failed or was pruned.
        params: what the study suggested.
        values: objective → value; empty unless complete.
        constraints: constraint → value; above 0 is violated.
        jobs: Hydra's job numbers of the trial.
        warm_start: where a given start point comes from; None for a suggested one.
    """

    study: str
    number: int
    state: TrialState
    reason: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    constraints: dict[str, float] = field(default_factory=dict)
    jobs: tuple[int, ...] = ()
    warm_start: str | None = None

    @property
    def violated(self) -> list[str]:
        """The constraints that the trial violates, sorted."""
        return sorted(name for name, value in self.constraints.items() if not value <= 0)


def read_trial(directory: Path) -> Trial | None:
    """The trial of a job directory; None where there is no `trial.json`.

    Raises:
        ValueError: the file is not what the sweeper writes.
    """
    path = directory / TRIAL
    if not path.is_file():
        return None
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{TRIAL} cannot be read: {type(error).__name__}: {error}") from error


def _parse(data: Mapping[str, Any]) -> Trial:
    return Trial(
        study=str(data["study"]),
        number=int(data["trial"]),
        state=TrialState(data["state"]),
        reason=str(data.get("reason") or ""),
        params=dict(data.get("params") or {}),
        values=_floats(data.get("values")),
        constraints=_floats(data.get("constraints")),
        jobs=tuple(int(job) for job in data.get("jobs") or ()),
        warm_start=data.get("warm_start"),
    )


def _floats(values: Mapping[str, Any] | None) -> dict[str, float]:
    """Numbers by name; null, which JSON has for a value that was not measured, becomes NaN."""
    return {name: float("nan") if value is None else float(value) for name, value in (values or {}).items()}
