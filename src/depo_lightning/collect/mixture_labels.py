"""Labels for episodes of several environments, each by rules of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from depo_lightning.collect.label_report import LabelReport, make_report
from depo_lightning.collect.labelling import NO_CAPS, Caps, capped
from depo_lightning.errors import DataError
from depo_lightning.trajectory import Label, Trajectory

Rule = Callable[[Sequence[Trajectory]], tuple[list[Trajectory], LabelReport]]
"""Labels the episodes of one environment, and reports."""


def label_mixture(
    trajectories: Sequence[Trajectory], rules: Mapping[str, Rule], caps: Caps = NO_CAPS
) -> tuple[list[Trajectory], LabelReport]:
    """Label every environment's episodes by its own rule.

    Args:
        trajectories: of one environment or several.
        rules: by environment; one that no episode is of is not used.
        caps: bounds on the size of each class of each environment, after those of its rule.

    Returns:
        The labelled episodes in the given order, and the report.

    Raises:
        DataError: an environment without a rule; what a rule raises, with the environment's name.
    """
    played = list(dict.fromkeys(item.env for item in trajectories))
    faults = [
        f"{sum(item.env == env for item in trajectories)} episodes are of {env}, for which thresholds.parts has no "
        f"rules, only for {sorted(rules)}; add thresholds.parts.{env}, or write thresholds=relative"
        for env in played
        if env not in rules
    ]
    labels: dict[str, Label] = {}
    for env in (name for name in played if name in rules):
        try:
            found, _ = rules[env]([item for item in trajectories if item.env == env])
        except DataError as error:
            place = f"thresholds.parts.{env}."
            faults += [f"{env}: {fault.replace('thresholds.', place)}" for fault in error.faults]
        else:
            labels |= {item.id: item.label for item in found if item.label is not None}
    if faults:
        raise DataError(faults)
    kept = capped(trajectories, labels, caps)
    labelled = [replace(item, label=kept[item.id]) for item in trajectories if item.id in kept]
    return labelled, make_report(trajectories, labelled)
