"""Results of finished sweeps as a study's first trials, where they measured the same thing."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import optuna
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState, create_trial

from depo_lightning.errors import ConfigError
from depo_lightning.progress import console
from depo_lightning.sweeps.points import PointStatus, SweepPoint, collect_points
from depo_lightning.tuning.config import SweeperConfig
from depo_lightning.tuning.jobs import left_outcome
from depo_lightning.tuning.opening import settled_config
from depo_lightning.tuning.outcome import Outcome, State, constraint_names, mean_outcome, violation
from depo_lightning.tuning.space import Space
from depo_lightning.tuning.study import WARM

TAKEN = "taken over"


def take_over(
    study: optuna.Study, settings: SweeperConfig, space: Space, context: HydraContext, config: DictConfig
) -> None:
    """Add the results of `hydra.sweeper.warm_start.sweeps` to the study, each sweep once.

    A point counts if its parameters lie in the search space, all repetitions are there, and the rest of its
    configuration is this sweep's; what does not count is named and left out. Call it under `study_lock`.

    Raises:
        ConfigError: a directory that is no sweep's.
    """
    for name in settings.warm_start.sweeps:
        source = Path(name).absolute()
        if not source.is_dir():
            raise ConfigError(f"hydra.sweeper.warm_start.sweeps: {name}: no such directory")
        if str(source) in study.user_attrs.get(TAKEN, []):
            continue
        taken, skipped = 0, 0
        there = {trial.user_attrs.get(WARM) for trial in study.trials}
        for values, points in _by_parameters(space, collect_points(source)).items():
            params = dict(values)
            label = f"{source}: {sorted(point.job for point in points)}"
            trial = _trial(settings, space, params, points, context, config, label)
            if trial is None:
                skipped += 1
            elif label not in there:
                study.add_trial(trial)
                taken += 1
        study.set_user_attr(TAKEN, [*study.user_attrs.get(TAKEN, []), str(source)])
        rest = f"; {skipped} left out: other settings, or incomplete" if skipped else ""
        console.print(f"warm start: {taken} results of {source}{rest}")


def _by_parameters(space: Space, points: list[SweepPoint]) -> dict[tuple[tuple[str, Any], ...], list[SweepPoint]]:
    groups: dict[tuple[tuple[str, Any], ...], list[SweepPoint]] = defaultdict(list)
    for point in points:
        if _metrics(point) and all(name in point.overrides for name in space.parameters):
            groups[tuple((name, point.overrides[name]) for name in space.parameters)].append(point)
    return groups


def _trial(
    settings: SweeperConfig,
    space: Space,
    params: dict[str, Any],
    points: list[SweepPoint],
    context: HydraContext,
    config: DictConfig,
    label: str,
) -> FrozenTrial | None:
    try:
        wanted = [context.config_loader.load_sweep_config(config, job) for job in space.overrides(params)]
        same = [next((p for p in points if _same(p, job)), None) for job in wanted]
        outcome = mean_outcome([Outcome(State.COMPLETE, _metrics(p)) for p in same if p is not None])
        values = [outcome.metrics[name] for name in settings.objectives]
        constraints = [violation(c, outcome.metrics) for c in settings.constraints]
        if None in same or None in constraints:
            return None
        trial = create_trial(
            state=TrialState.COMPLETE,
            params=params,
            distributions=space.distributions,
            values=values,
            user_attrs={WARM: label, "metrics": outcome.metrics},
        )
    except (HydraException, IndexError, KeyError, ValueError):  # outside the space, or not measured
        return None
    for name, value in zip(constraint_names(settings.constraints), constraints, strict=True):
        assert value is not None
        trial.set_constraint(name, value)
    return trial


def _same(point: SweepPoint, job: DictConfig) -> bool:
    """Whether a stored job ran with a composed job's configuration, apart from where its files went."""
    path = point.directory / ".hydra" / "config.yaml"
    if not path.is_file():
        return False
    stored = OmegaConf.load(path)
    assert isinstance(stored, DictConfig)
    everything = Space({}, [], [])
    return {k: str(v) for k, v in settled_config(stored, everything).items()} == {
        k: str(v) for k, v in settled_config(job, everything).items()
    }


def _metrics(point: SweepPoint) -> dict[str, float]:
    """What a job measured, by the sweeper's own record or by a run's results; empty where it did not finish."""
    record = left_outcome(point.directory)
    if record is not None:
        return record.metrics
    if point.status is not PointStatus.FINISHED:
        return {}
    tables = [("", point.metrics), *((f"{name}/", table) for name, table in point.baselines.items())]
    return {
        f"{prefix}{name}{end}": value
        for prefix, table in tables
        for name, estimate in table.items()
        for end, value in (("", estimate.mean), ("_se", estimate.se))
    }
