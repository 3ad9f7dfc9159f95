"""What the labels say: counts, costs, and warnings where D and U differ in the wrong thing or not in the right one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from statistics import fmean, variance
from typing import Any

from depo_lightning.trajectory import Label, Status, Trajectory

LEVEL_GAP = 0.15  # total-variation distance between the levels of D and U above which a warning is due
_RESOLVED = 2.0  # standard errors at which a difference counts as seen


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One label's episodes: how many, and means over them."""

    count: int
    tokens_per_step: float
    steps: float
    tokens: float
    reward: float


@dataclass(frozen=True, slots=True)
class LabelReport:
    """Outcome of the labelling.

    Attributes:
        total: episodes looked at.
        crashed: those among them that were never candidates.
        classes: one summary per label.
        levels: per level, the number of episodes per label.
        level_gap: total-variation distance between the levels of D and of U, in [0, 1].
        warnings: what makes these labels doubtful, in words.
        environments: where there are several, the report of each.
    """

    total: int
    crashed: int
    classes: dict[str, ClassSummary]
    levels: dict[str, dict[str, int]]
    level_gap: float
    warnings: tuple[str, ...] = field(default=())
    environments: dict[str, LabelReport] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {**asdict(self), "warnings": list(self.warnings)}

    def lines(self) -> list[str]:
        """The report for a person to read; warnings last."""
        labelled = sum(summary.count for summary in self.classes.values())
        result = [f"{labelled} of {self.total} episodes labelled ({self.crashed} crashed)"]
        for name, summary in self.classes.items():
            result.append(
                f"{name}: {summary.count} episodes, means: {summary.tokens_per_step:.1f} tokens per step, "
                f"{summary.steps:.1f} steps, {summary.tokens:.1f} tokens, reward {summary.reward:.2f}"
            )
        for env, part in self.environments.items():
            result += [f"{env}: {line}" for line in part.lines() if not line.startswith("WARNING")]
        for level, counts in {} if self.environments else self.levels.items():
            result.append(f"{level or 'no level'}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
        return result + [f"WARNING: {warning}" for warning in self.warnings]


def make_report(pool: Sequence[Trajectory], labelled: Sequence[Trajectory]) -> LabelReport:
    """Summarise labels and test them against their two usual faults.

    Labels that follow the *task* teach which tasks are easy, not how to act: the levels of D and U, and the least
    steps and tokens that anyone needed on their tasks, should agree. Labels that do not follow the *tokens per
    step* teach nothing about brevity: D should need fewer, by more than two standard errors.

    Of several environments each is tested for itself, and besides whether D and U are of the same ones.

    Args:
        pool: every episode there was; gives each task's least cost.
        labelled: those with a label, both labels present.
    """
    split = {label: [item for item in labelled if item.label is label] for label in Label}
    desirable, undesirable = split[Label.DESIRABLE], split[Label.UNDESIRABLE]
    levels = {
        level: {str(label): sum(item.level == level for item in items) for label, items in split.items()}
        for level in sorted({item.level for item in labelled})
    }
    gap = _total_variation([item.level for item in desirable], [item.level for item in undesirable])
    parts = _of_environments(pool, labelled)
    if parts:
        warnings = [f"{env}: {warning}" for env, part in parts.items() for warning in part.warnings]
        warnings += _environment_warnings(desirable, undesirable)
    elif desirable and undesirable:
        warnings = _difficulty_warnings(pool, desirable, undesirable, gap) + _brevity_warnings(desirable, undesirable)
    else:
        warnings = ["not both labels occur: nothing tells what to prefer to what"]
    return LabelReport(
        total=len(pool),
        crashed=sum(item.status is Status.CRASHED for item in pool),
        classes={str(label): _summary(items) for label, items in split.items()},
        levels=levels,
        level_gap=gap,
        warnings=tuple(warnings),
        environments=parts,
    )


def _of_environments(pool: Sequence[Trajectory], labelled: Sequence[Trajectory]) -> dict[str, LabelReport]:
    """The report of each environment; empty where there is one only."""
    names = sorted({item.env for item in pool})
    if len(names) < 2:
        return {}
    return {
        env: make_report([item for item in pool if item.env == env], [item for item in labelled if item.env == env])
        for env in names
    }


def _environment_warnings(desirable: Sequence[Trajectory], undesirable: Sequence[Trajectory]) -> list[str]:
    gap = _total_variation([item.env for item in desirable], [item.env for item in undesirable])
    if gap <= LEVEL_GAP:
        return []
    return [
        f"D and U come from different environments (total-variation distance {gap:.2f} > {LEVEL_GAP}): training will "
        "prefer one to the other; set thresholds.max_desirable and max_undesirable, which hold for each"
    ]


def _summary(items: Sequence[Trajectory]) -> ClassSummary:
    def mean(values: Iterator[float]) -> float:
        return fmean(values) if items else 0.0

    return ClassSummary(
        count=len(items),
        tokens_per_step=mean(item.t_token for item in items),
        steps=mean(item.t_step for item in items),
        tokens=mean(item.agent_tokens for item in items),
        reward=mean(item.reward for item in items),
    )


def _total_variation(first: Sequence[str], second: Sequence[str]) -> float:
    """Half the summed difference of the two shares; 0 where one side is empty."""
    if not first or not second:
        return 0.0
    a, b = Counter(first), Counter(second)
    return sum(abs(a[level] / len(first) - b[level] / len(second)) for level in a.keys() | b.keys()) / 2


def _difficulty_warnings(
    pool: Sequence[Trajectory], desirable: Sequence[Trajectory], undesirable: Sequence[Trajectory], gap: float
) -> list[str]:
    found = []
    if gap > LEVEL_GAP:
        found.append(
            f"D and U come from different levels (total-variation distance {gap:.2f} > {LEVEL_GAP}): training will "
            "reward easy levels; label within tasks (thresholds=relative)"
        )
    measures: tuple[tuple[str, Callable[[Trajectory], float]], ...] = (
        ("steps", lambda item: item.t_step),
        ("tokens", lambda item: item.agent_tokens),
    )
    for name, measure in measures:
        least = _least(pool, measure)
        d = [least[_task(item)] for item in desirable if _task(item) in least]
        u = [least[_task(item)] for item in undesirable if _task(item) in least]
        difference, error = _difference(u, d)
        if abs(difference) > _RESOLVED * error:
            found.append(
                f"the tasks of U need {difference:+.2f} ± {error:.2f} more {name} than those of D, at the least: "
                "the labels follow the tasks' difficulty; label within tasks (thresholds=relative)"
            )
    unsolved = len(undesirable) - len(u)
    if unsolved:
        found.append(f"{unsolved} of {len(undesirable)} U episodes come from tasks that no episode solved")
    return found


def _brevity_warnings(desirable: Sequence[Trajectory], undesirable: Sequence[Trajectory]) -> list[str]:
    d, u = [item.t_token for item in desirable], [item.t_token for item in undesirable]
    if not any(d) and not any(u):
        return ["no step carries a token count: whether D is the terser class cannot be told"]
    difference, error = _difference(u, d)
    if difference > _RESOLVED * error and difference > 0:
        return []
    return [
        f"D is not terser than U: {fmean(d):.1f} against {fmean(u):.1f} tokens per step (difference {difference:+.1f} "
        f"± {error:.1f}): these labels teach no brevity; rephrase D or rank by tokens (thresholds=relative)"
    ]


def _task(item: Trajectory) -> tuple[str, int]:
    return item.env, item.task


def _least(pool: Sequence[Trajectory], measure: Callable[[Trajectory], float]) -> dict[tuple[str, int], float]:
    """Per task, the least that a success needed."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for item in pool:
        if item.success and item.status is not Status.CRASHED:
            found[_task(item)].append(measure(item))
    return {task: min(values) for task, values in found.items()}


def _difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """mean(first) − mean(second) and its standard error, unequal variances; 0 ± 0 where one is empty."""
    if not first or not second:
        return 0.0, 0.0
    error = sqrt(sum(variance(values) / len(values) for values in (first, second) if len(values) > 1))
    return fmean(first) - fmean(second), error
