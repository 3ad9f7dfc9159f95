"""What became of a job and of a trial: numbers, or the reason why there are none."""

from __future__ import annotations

import math
import statistics
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depo_lightning.tuning.config import ConstraintConfig

ERROR = "error.txt"  # where a job leaves the reason of its failure


class State(StrEnum):
    """How a job or a trial ended."""

    COMPLETE = "complete"
    FAIL = "fail"
    PRUNED = "pruned"


@dataclass(frozen=True)
class Outcome:
    """The end of a job, or of a trial over all its jobs.

    Attributes:
        state: how it ended.
        metrics: what it measured, by name; empty unless complete.
        reason: why it did not complete.
        code: exit code that the failure asks for: 2 where the input is at fault, 1 otherwise.
        detail: a traceback, where the reason alone would not do.
    """

    state: State
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    code: int = 0
    detail: str = ""

    @classmethod
    def failed(cls, reason: str, code: int = 1, detail: str = "") -> Outcome:
        """A failure with its reason."""
        return cls(State.FAIL, reason=reason, code=code, detail=detail)

    def to_json(self) -> dict[str, Any]:
        """JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Outcome:
        """The inverse of `to_json`."""
        return cls(**{**entry, "state": State(entry["state"])})


def of_return(value: Any, objectives: Sequence[str], directory: Path) -> Outcome:
    """Judge what a task returned: a mapping name → number, or the objectives as a number or a sequence.

    A mapping may hold more than the objectives; undefined values (NaN) among the rest are left out.
    """
    if value is None:
        return of_silence(directory)
    if isinstance(value, Real):
        value = [value]
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != len(objectives):
            wanted = ", ".join(objectives)
            return Outcome.failed(f"the task returned {len(value)} values for {len(objectives)} objectives ({wanted})")
        value = dict(zip(objectives, value, strict=True))
    if not isinstance(value, Mapping):
        return Outcome.failed(f"the task returned a {type(value).__name__}: expected metrics by name, or numbers")
    if missing := [name for name in objectives if name not in value]:
        return Outcome.failed(f"the task returned no {', '.join(missing)}, only {', '.join(map(str, value))}")
    if wrong := [f"{name} = {value[name]}" for name in objectives if not _finite(value[name])]:
        return Outcome.failed(f"{', '.join(wrong)}: not a finite number")
    return Outcome(State.COMPLETE, {str(name): float(v) for name, v in value.items() if _finite(v)})


def of_exception(error: BaseException) -> Outcome:
    """Judge an exception of a task."""
    from optuna import TrialPruned

    from depo_lightning.errors import DepoError

    if isinstance(error, TrialPruned):
        return Outcome(State.PRUNED, reason=str(error) or "pruned")
    if isinstance(error, DepoError):
        return Outcome.failed("; ".join(error.faults), error.exit_code)
    detail = "".join(traceback.format_exception(error))
    return Outcome.failed(f"{type(error).__name__}: {error}", detail=detail)


def mean_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """A trial's outcome from its jobs': means of the metrics that all have; one that did not complete decides."""
    for outcome in outcomes:
        if outcome.state is not State.COMPLETE:
            return outcome
    common = [name for name in outcomes[0].metrics if all(name in o.metrics for o in outcomes)]
    return Outcome(State.COMPLETE, {name: statistics.fmean(o.metrics[name] for o in outcomes) for name in common})


def constraint_names(constraints: Sequence[ConstraintConfig]) -> list[str]:
    """What a study calls its constraints: one metric may have several."""
    return [f"{constraint.metric} {index}" for index, constraint in enumerate(constraints)]


def violation(constraint: ConstraintConfig, metrics: Mapping[str, float]) -> float | None:
    """By how much a constraint is broken; 0 or less holds; None where a metric it names was not measured.

    The slack is in standard errors of the bounding metric, or of the bounded one where the bound is a number.
    """
    upper = constraint.at_most is not None
    bound = constraint.at_most if upper else constraint.at_least
    names = {"value": constraint.metric}
    if isinstance(bound, str):
        names["limit"] = bound
    if constraint.slack_se:
        names["se"] = f"{bound if isinstance(bound, str) else constraint.metric}_se"
    if any(name not in metrics for name in names.values()):
        return None
    found = {"limit": bound, "se": 0.0} | {role: metrics[name] for role, name in names.items()}
    excess = found["value"] - found["limit"] if upper else found["limit"] - found["value"]
    return float(excess - constraint.slack_se * found["se"])


def _finite(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(float(value))


def of_silence(directory: Path) -> Outcome:
    """A task that returned nothing has failed; it may have left word why."""
    path = directory / ERROR
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return Outcome.failed("the task returned nothing: it must return its objectives")
    code = 2 if lines[0].startswith(("configuration error", "data error")) else 1
    if lines[0].startswith("Traceback"):
        return Outcome.failed(lines[-1], code)
    return Outcome.failed("; ".join(line.lstrip("- ") for line in lines[1:]) or lines[0], code)
