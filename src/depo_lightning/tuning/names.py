"""Which metrics a sweep's objectives and constraints may name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from depo_lightning.choices import METRICS, EfficiencyForm
from depo_lightning.config import Config, MixtureConfig, Policy
from depo_lightning.tuning.config import SweeperConfig

POLICIES = tuple(dict.fromkeys([*map(str, Policy), *map(str, EfficiencyForm)]))  # as results name them


def part_metrics(config: Config) -> list[str]:
    """Metrics of a run's several environments, if it has such, and of its sets of questions: `webshop/success_rate`."""
    parts = list(config.env.parts) if isinstance(config.env, MixtureConfig) else []
    names = [f"{env}/{metric}" for env in parts if len(parts) > 1 for metric in METRICS]
    if config.evaluation:
        from depo_lightning.evaluation import questions

        names += [f"{asked}/{metric}" for asked in config.evaluation for metric in questions.METRICS]
    return names


def name_faults(settings: SweeperConfig, parts: Sequence[str]) -> Iterator[str]:
    """Names that no job's results will have.

    Args:
        settings: of the sweeper; without `metrics` every name is taken.
        parts: names besides `metrics`, see `part_metrics`.
    """
    if settings.metrics is None:
        return
    known = [*settings.metrics, *parts]
    for name in settings.objectives:
        if name not in known:
            yield f"hydra.sweeper.objectives: unknown metric {name!r}; choose from {known}"
    for constraint in settings.constraints:
        bounds = (constraint.at_least, constraint.at_most)
        for name in (constraint.metric, *(bound for bound in bounds if isinstance(bound, str))):
            policy, _, metric = name.partition("/")
            if name not in known and not (policy in POLICIES and metric in known):
                choice = f"{known}, or POLICY/NAME with a policy of {list(POLICIES)}"
                yield f"hydra.sweeper.constraints: unknown metric {name!r}; choose from {choice}"
