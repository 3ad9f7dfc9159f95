"""Which episodes are called desirable (D) and undesirable (U): the paper's thresholds, or ranks within a task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from depo_lightning.collect.label_report import LabelReport, make_report
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.trajectory import Label, Status, Trajectory

_BINS = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0)  # edges of the reward histogram in the message for an empty class


@dataclass(frozen=True, slots=True)
class Caps:
    """How many episodes of each label to keep, of each environment where there are several.

    Attributes:
        max_desirable, max_undesirable: upper bounds; None keeps all.
        balanced: keep as many of one label as of the other.
        fraction: share of what is left then, in (0, 1]; a smaller share is a subset of a larger one.
        seed: decides which ones stay.
    """

    max_desirable: int | None = None
    max_undesirable: int | None = None
    balanced: bool = False
    fraction: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        faults = [
            f"thresholds.{name}={value!r}: at least 1, or null for no bound"
            for name, value in (("max_desirable", self.max_desirable), ("max_undesirable", self.max_undesirable))
            if value is not None and value < 1
        ]
        if not 0 < self.fraction <= 1:
            faults.append(f"thresholds.fraction={self.fraction!r}: in (0, 1]; 1 keeps all")
        if faults:
            raise ConfigError(faults)


NO_CAPS = Caps()


def label_absolute(
    trajectories: Sequence[Trajectory],
    kappa0: float,
    kappa1: float,
    kappa2: float,
    step_cut: int | None = None,
    caps: Caps = NO_CAPS,
) -> tuple[list[Trajectory], LabelReport]:
    """Label by reward: r ≥ κ0 is desirable, κ2 ≤ r < κ1 undesirable, the rest is dropped (DEPO, Eq. 3).

    With a step cut c, D must also take fewer than c steps and U c or more. The paper states the cut (7 on BabyAI)
    beside the reward bounds without saying how they combine. Read as *and*, both classes say the same thing about
    an episode, good and short or mediocre and long; read as *or*, an episode of high reward and many steps would
    be in D by one rule and in U by the other. So it is *and* here.

    Args:
        trajectories: crashed ones are never labelled; those cut off or failed count by their reward.
        kappa0, kappa1, kappa2: κ2 ≤ κ1 ≤ κ0.
        step_cut: agent turns; None for no cut.
        caps: bounds on the size of each class.

    Returns:
        The labelled episodes in the given order, and the report.

    Raises:
        ConfigError: bounds out of order, or a step cut below 1.
        DataError: no desirable, or no undesirable, episode is left.
    """
    faults = []
    if not 0 <= kappa2 <= kappa1 <= kappa0 <= 1:
        faults.append(
            f"thresholds: kappa0={kappa0}, kappa1={kappa1}, kappa2={kappa2}: "
            "0 <= kappa2 <= kappa1 <= kappa0 <= 1 must hold; reorder them"
        )
    if step_cut is not None and step_cut < 1:
        faults.append(f"thresholds.step_cut={step_cut!r}: at least 1, or null for no cut")
    if faults:
        raise ConfigError(faults)

    def verdict(trajectory: Trajectory) -> Label | None:
        short = step_cut is None or trajectory.t_step < step_cut
        long = step_cut is None or not short
        if trajectory.reward >= kappa0 and short:
            return Label.DESIRABLE
        return Label.UNDESIRABLE if kappa2 <= trajectory.reward < kappa1 and long else None

    usable = [trajectory for trajectory in trajectories if trajectory.status is not Status.CRASHED]
    verdicts = {trajectory.id: label for trajectory in usable if (label := verdict(trajectory))}
    remedy = f"move thresholds.kappa0/1/2 (now {kappa0}, {kappa1}, {kappa2}) or step_cut (now {step_cut})"
    return _labelled(trajectories, verdicts, caps, remedy)


def label_relative(
    trajectories: Sequence[Trajectory],
    desirable_fraction: float = 1 / 3,
    undesirable_fraction: float = 1 / 3,
    token_weight: float = 1.0,
    step_weight: float = 0.0,
    include_failures: bool = True,
    min_successes: int = 2,
    caps: Caps = NO_CAPS,
) -> tuple[list[Trajectory], LabelReport]:
    """Label within the episodes of one task, so that D and U differ in how a task was done, not in the task.

    Among a task's n successes, ranked by cost = token_weight · agent tokens + step_weight · steps, the episode of
    rank i (from 0) is desirable if (i + ½) / n ≤ desirable_fraction, and undesirable if the same holds from the
    dear end. Of two or four successes at ⅓ that is the first and the last. Failures are undesirable.

    Args:
        trajectories: with token counts; crashed ones are left out.
        desirable_fraction, undesirable_fraction: in (0, 1), their sum at most 1.
        token_weight, step_weight: at least 0, not both 0.
        include_failures: call failed and cut-off episodes undesirable, else drop them.
        min_successes: tasks with fewer successes yield no label at all, since nothing compares there.
        caps: bounds on the size of each class.

    Returns:
        The labelled episodes in the given order, and the report.

    Raises:
        ConfigError: a field out of its range.
        DataError: no desirable, or no undesirable, episode is left; or tokens weigh and were never counted.
    """
    _check_relative(desirable_fraction, undesirable_fraction, token_weight, step_weight, min_successes)
    cost = cost_function(trajectories, token_weight, step_weight)
    verdicts: dict[str, Label] = {}
    for group in _by_task(trajectories):
        ranked = sorted((item for item in group if item.success), key=lambda item: (cost(item), item.id))
        if len(ranked) < min_successes:
            continue
        cheap, dear = _share(len(ranked), desirable_fraction), _share(len(ranked), undesirable_fraction)
        if cost(ranked[0]) < cost(ranked[-1]):  # a tie says nothing about either end
            verdicts |= dict.fromkeys((item.id for item in ranked[:cheap]), Label.DESIRABLE)
            verdicts |= dict.fromkeys((item.id for item in ranked[len(ranked) - dear :]), Label.UNDESIRABLE)
        if include_failures:
            verdicts |= dict.fromkeys((item.id for item in group if not item.success), Label.UNDESIRABLE)
    remedy = "search with more simulations, raise the fractions, or lower thresholds.min_successes"
    return _labelled(trajectories, verdicts, caps, remedy)


def select_filtered(
    trajectories: Sequence[Trajectory], fraction: float, token_weight: float = 1.0, step_weight: float = 0.0
) -> list[Trajectory]:
    """The cheapest fraction of successes, for fine-tuning on them alone (filtered BC).

    Chosen within each task, not over all: the cheapest episodes overall are those of the easiest tasks, and a
    policy trained on them forgets how to search. The episode of rank i among its task's n successes stays if
    (i + ½) / n ≤ fraction; a lone success therefore stays from ½ on.

    Args:
        trajectories: with token counts.
        fraction: in (0, 1].
        token_weight, step_weight: of the cost, as in `label_relative`.

    Raises:
        ConfigError: the fraction is out of range.
        DataError: nothing is left.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"bc.filtered_fraction={fraction!r}: in (0, 1]; 0.25 is common")
    cost = cost_function(trajectories, token_weight, step_weight)
    kept: set[str] = set()
    for group in _by_task(trajectories):
        ranked = sorted((item for item in group if item.success), key=lambda item: (cost(item), item.id))
        kept |= {item.id for item in ranked[: _share(len(ranked), fraction)]}
    if not kept:
        raise DataError(
            f"filtered BC: none of {len(trajectories)} episodes is left at fraction {fraction}; "
            "raise it, or search with more simulations so that tasks have several successes"
        )
    return [item for item in trajectories if item.id in kept]


def cost_function(
    trajectories: Iterable[Trajectory], token_weight: float, step_weight: float
) -> Callable[[Trajectory], float]:
    """cost(τ) = token_weight · agent tokens + step_weight · T_step.

    Raises:
        DataError: tokens weigh, but no step carries a count.
    """
    items = list(trajectories)
    if token_weight > 0 and items and not any(item.agent_tokens for item in items):
        raise DataError("no step carries a token count, so episodes cannot be ranked by tokens; count tokens first")
    return lambda item: token_weight * item.agent_tokens + step_weight * item.t_step


def _share(count: int, fraction: float) -> int:
    """How many ranks i of `count` have a mid-rank (i + ½) / count ≤ fraction."""
    return sum((rank + 0.5) / count <= fraction for rank in range(count))


def _by_task(trajectories: Iterable[Trajectory]) -> list[list[Trajectory]]:
    """Episodes of equal difficulty together: those of one search tree, else of one task."""
    groups: dict[str, list[Trajectory]] = defaultdict(list)
    for item in trajectories:
        if item.status is not Status.CRASHED:
            groups[item.source.tree if item.source else f"{item.env}-{item.task}"].append(item)
    return list(groups.values())


def _check_relative(desirable: float, undesirable: float, tokens: float, steps: float, successes: int) -> None:
    faults = [
        f"thresholds.{name}={value!r}: in (0, 1); 1/3 is the default"
        for name, value in (("desirable_fraction", desirable), ("undesirable_fraction", undesirable))
        if not 0 < value < 1
    ]
    if desirable + undesirable > 1:
        faults.append(f"thresholds: the fractions sum to {desirable + undesirable}: at most 1; lower one of them")
    if min(tokens, steps) < 0 or tokens + steps == 0:
        faults.append(
            f"thresholds: token_weight={tokens!r}, step_weight={steps!r}: at least 0 and not both 0; 1 and 0 are usual"
        )
    if successes < 1:
        faults.append(f"thresholds.min_successes={successes!r}: at least 1; 2 is the default")
    if faults:
        raise ConfigError(faults)


def _labelled(
    trajectories: Sequence[Trajectory], verdicts: dict[str, Label], caps: Caps, remedy: str
) -> tuple[list[Trajectory], LabelReport]:
    _require_both(trajectories, verdicts, remedy)
    kept = capped(trajectories, verdicts, caps)
    labelled = [replace(item, label=kept[item.id]) for item in trajectories if item.id in kept]
    return labelled, make_report(trajectories, labelled)


def _require_both(trajectories: Sequence[Trajectory], verdicts: dict[str, Label], remedy: str) -> None:
    present = set(verdicts.values())
    missing = [str(label) for label in Label if label not in present]
    if missing:
        rewards = [item.reward for item in trajectories if item.status is not Status.CRASHED]
        bins = [f"[{low}, {high}): {sum(low <= r < high for r in rewards)}" for low, high in pairwise(_BINS)]
        bins.append(f"1.0: {sum(r == 1 for r in rewards)}")
        raise DataError(
            f"no {' and no '.join(missing)} episode among {len(rewards)} after labelling; "
            f"episodes by reward: {', '.join(bins)}; {remedy}"
        )


def capped(trajectories: Iterable[Trajectory], verdicts: Mapping[str, Label], caps: Caps) -> dict[str, Label]:
    """A random subset of each environment's verdicts within the caps; the same whatever the order of the episodes."""
    found: dict[str, dict[str, Label]] = defaultdict(dict)
    for item in trajectories:
        if item.id in verdicts:
            found[item.env][item.id] = verdicts[item.id]
    return {key: label for own in found.values() for key, label in _capped(own, caps).items()}


def _capped(verdicts: Mapping[str, Label], caps: Caps) -> dict[str, Label]:
    ids = {label: sorted(key for key, value in verdicts.items() if value is label) for label in Label}
    sizes = {
        label: min(len(ids[label]), len(ids[label]) if cap is None else cap)
        for label, cap in ((Label.DESIRABLE, caps.max_desirable), (Label.UNDESIRABLE, caps.max_undesirable))
    }
    if caps.balanced:
        sizes = dict.fromkeys(sizes, min(sizes.values()))
    kept: set[str] = set()
    for label, size in sizes.items():
        drawn = Random(f"{caps.seed}/{label}").sample(ids[label], size)
        kept |= set(drawn[: max(1, round(caps.fraction * size))])
    return {key: value for key, value in verdicts.items() if key in kept}
