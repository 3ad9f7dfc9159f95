"""`hydra.sweeper.*` checked before any trial: every fault at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import HydraException
from hydra.types import HydraContext
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from optuna import Study
from optuna.samplers import BaseSampler

from depo_lightning.choices import OBJECTIVES
from depo_lightning.config import Config, to_config
from depo_lightning.errors import ConfigError
from depo_lightning.pareto import Direction
from depo_lightning.tuning.config import ConstraintConfig, SweeperConfig, WarmStartConfig
from depo_lightning.tuning.grid import GridSampler, grid_points
from depo_lightning.tuning.names import name_faults, part_metrics
from depo_lightning.tuning.space import Space
from depo_lightning.tuning.study import WARM

DEFAULT_TRIALS = 20
_MAX_COMPOSED = 64  # configurations composed to find a mistyped choice before the first trial


def read_settings(values: Mapping[str, Any]) -> SweeperConfig:
    """The sweeper's fields, typed and complete.

    Raises:
        ConfigError: all faults at once.
    """
    settings = SweeperConfig(**{name: value for name, value in values.items() if not name.startswith("_")})
    if not isinstance(settings.objectives, Mapping | None):
        raise ConfigError(f"hydra.sweeper.objectives={settings.objectives}: write metric: maximize or metric: minimize")
    settings.objectives = dict(settings.objectives or OBJECTIVES)
    settings.constraints = [ConstraintConfig(**vars_of(entry)) for entry in settings.constraints]
    settings.warm_start = WarmStartConfig(**vars_of(settings.warm_start))
    if faults := [*_number_faults(settings), *_metric_faults(settings)]:
        raise ConfigError(faults)
    return settings


def vars_of(entry: Any) -> dict[str, Any]:
    """A structured entry as a plain dictionary, whichever form the configuration gave it."""
    return dict(entry) if isinstance(entry, Mapping) else dict(vars(entry))


def make_sampler(settings: SweeperConfig, known: int = 0) -> BaseSampler:
    """The configured sampler, fresh.

    Args:
        settings: of the sweeper.
        known: trials that the study has from elsewhere; added to the seed, or those of a sweep with the same seed would
            be proposed again.

    Raises:
        ConfigError: it does not take these arguments.
    """
    seed = settings.sampler.get("seed")
    values = {**settings.sampler, "seed": seed + known} if isinstance(seed, int) and known else settings.sampler
    try:
        sampler = instantiate(values)
    except Exception as error:
        cause = error.__cause__ or error
        raise ConfigError(f"hydra.sweeper.sampler={settings.sampler}: {cause}") from error
    if not isinstance(sampler, BaseSampler):
        raise ConfigError(f"hydra.sweeper.sampler={settings.sampler}: is no Optuna sampler")
    return sampler


def trial_count(settings: SweeperConfig, sampler: BaseSampler, queued: int) -> int:
    """How many trials the study is to have: of a grid at most what was queued."""
    if isinstance(sampler, GridSampler):
        return queued if settings.n_trials is None else min(queued, settings.n_trials)
    return DEFAULT_TRIALS if settings.n_trials is None else settings.n_trials


def check_space(
    space: Space, settings: SweeperConfig, sampler: BaseSampler, context: HydraContext, config: DictConfig
) -> DictConfig:
    """Compose one job for each value of each choice, and check it; returns the configuration of the first.

    Raises:
        ConfigError: a key or a value that the configuration does not take, a metric that its results will not have,
            or a warm start outside the space.
    """
    faults: dict[str, None] = {}
    if isinstance(sampler, GridSampler):
        grid_points(space)
    if not space.parameters:
        faults["hydra.sweeper.params: nothing is searched; add for example alpha1=interval(0,3)"] = None
    faults |= dict.fromkeys(_point_faults(space, settings.warm_start.points))
    variants = _variants(space)
    composed: DictConfig | None = None
    for values in variants[:_MAX_COMPOSED]:
        try:
            job = context.config_loader.load_sweep_config(config, space.overrides(values)[0])
            composed = composed if composed is not None else job
            own = _own_config(job)
            faults |= dict.fromkeys(name_faults(settings, part_metrics(own) if own else []))
            faults |= dict.fromkeys(_own_faults(own) if own else [])
        except (HydraException, OmegaConfBaseException) as error:
            cause = error.__cause__ or error
            faults[next((line.strip() for line in str(cause).splitlines() if line.strip()), str(error))] = None
    if faults or composed is None:
        raise ConfigError(faults)
    return composed


def _variants(space: Space) -> list[dict[str, Any]]:
    """One set of parameters for each choice and for both ends of each range."""
    ends = {name: p.grid or [p.distribution.low, p.distribution.high] for name, p in space.parameters.items()}  # type: ignore[attr-defined]
    first = {name: values[0] for name, values in ends.items()}
    return [first, *({**first, name: value} for name, values in ends.items() for value in values[1:])]


def _own_config(job: DictConfig) -> Config | None:
    """A composed job as this project's configuration; None of another application."""
    if OmegaConf.get_type(job) is not Config:
        return None
    own = job.copy()
    with open_dict(own):
        own.pop("hydra", None)
        own.output = "."
    return to_config(own)


def _own_faults(config: Config) -> list[str]:
    """What this project's own rules say of a job."""
    from depo_lightning.validation import validate

    try:
        validate(config)
    except ConfigError as error:
        return error.faults
    return []


def queued_points(space: Space, settings: SweeperConfig, study: Study, grid: bool) -> list[dict[str, Any]]:
    """What is run first: the points of the warm start, and of a grid the rest but for what was taken over."""
    points = [{k: v for k, v in point.items() if k in space.parameters} for point in settings.warm_start.points]
    if grid:
        known = [*points, *(trial.params for trial in study.trials if WARM in trial.user_attrs)]
        points += [point for point in grid_points(space) if point not in known]
    return points


def _point_faults(space: Space, points: list[dict[str, Any]]) -> Iterator[str]:
    where, remedy = "hydra.sweeper.warm_start.points", "mend the points, or set them to []"
    fixed = {line.lstrip("+~").partition("=")[0] for line in space.fixed}
    for name, value in (item for point in points for item in point.items()):
        if name not in space.parameters and name not in fixed:
            yield f"{where}: {name} is not searched, {', '.join(space.parameters)} are; {remedy}"
        elif name in space.parameters and not _contains(space, name, value):
            yield f"{where}: {name}={value} is outside the search space; {remedy}"


def _contains(space: Space, name: str, value: Any) -> bool:
    distribution = space.parameters[name].distribution
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


def _number_faults(s: SweeperConfig) -> Iterator[str]:
    if s.n_trials is not None and s.n_trials < 1:
        yield f"hydra.sweeper.n_trials={s.n_trials}: must be at least 1, or null"
    if s.workers is not None and s.workers < 1:
        yield f"hydra.sweeper.workers={s.workers}: must be at least 1, or null"
    if s.timeout is not None and not s.timeout > 0:
        yield f"hydra.sweeper.timeout={s.timeout}: must be a positive number of seconds, or null for none"
    if not 0 <= s.max_failure_rate <= 1:
        yield f"hydra.sweeper.max_failure_rate={s.max_failure_rate}: must be in [0, 1]"
    if not s.study_name or "/" in s.study_name:
        yield f"hydra.sweeper.study_name={s.study_name!r}: must be a name that can be a directory's"


def _metric_faults(s: SweeperConfig) -> Iterator[str]:
    directions = list(Direction)
    if s.metrics is not None and len(s.objectives) < 2:
        yield f"hydra.sweeper.objectives={s.objectives}: a front needs two objectives; add one with its direction"
    for name, direction in s.objectives.items():
        if direction not in directions:
            yield f"hydra.sweeper.objectives.{name}={direction}: choose maximize or minimize"
    for c in s.constraints:
        if not isinstance(c.metric, str) or c.metric == MISSING:
            yield "hydra.sweeper.constraints: each needs a metric"
            continue
        bounds = [bound for bound in (c.at_least, c.at_most) if bound is not None]
        if len(bounds) != 1:
            yield f"hydra.sweeper.constraints: {c.metric}: give exactly one of at_least and at_most"
        for bound in bounds:
            if not isinstance(bound, str) and not (isinstance(bound, int | float) and math.isfinite(bound)):
                yield f"hydra.sweeper.constraints: {c.metric}: the bound {bound} must be a number or a metric"
        if not (math.isfinite(c.slack_se) and c.slack_se >= 0):
            yield f"hydra.sweeper.constraints: {c.metric}: slack_se={c.slack_se}: must be 0 or more"
