"""Results by environment: what each policy did in each environment of a mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from depo_lightning.evaluation.metrics import summarise
from depo_lightning.evaluation.paired import paired_difference, policy_results
from depo_lightning.trajectory import Trajectory

Episodes = Mapping[str, Sequence[Trajectory]]
"""Evaluation episodes by policy, BC among them."""


def policies_results(episodes: Episodes, seed: int) -> dict[str, Any]:
    """`results["policies"]`: per policy, what `policy_results` lays out.

    Args:
        episodes: on the same tasks.
        seed: of the bootstrap of the differences to BC.

    Raises:
        DataError: a policy played other tasks than BC.
    """
    entries = {}
    for name, played in episodes.items():
        difference = None if name == "bc" else paired_difference(played, episodes["bc"], seed)
        entries[name] = policy_results(summarise(played), difference)
    return entries


def environments_results(episodes: Episodes, seed: int) -> dict[str, Any]:
    """`results["environments"]`: per environment `{"policies": …}`, as for all episodes; empty where there is one only.

    Args, Raises: as of `policies_results`.
    """
    names = sorted({episode.env for played in episodes.values() for episode in played})
    if len(names) < 2:
        return {}
    return {env: {"policies": policies_results(_within(episodes, env), seed)} for env in names}


def _within(episodes: Episodes, env: str) -> dict[str, list[Trajectory]]:
    return {name: [episode for episode in played if episode.env == env] for name, played in episodes.items()}
