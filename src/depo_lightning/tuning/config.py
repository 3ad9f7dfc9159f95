"""The sweeper's configuration: `hydra.sweeper.*` and the group `hydra/sweeper/sampler`.

Import-light: Hydra loads it before every run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from depo_lightning.choices import METRICS


@dataclass
class ConstraintConfig:
    """A metric that must stay within a bound; a trial that breaks it is infeasible, not failed.

    A bound is a number or another metric, such as `bc/success_rate`: that of policy `bc` of the same run.
    """

    metric: str = MISSING
    at_least: Any = None
    at_most: Any = None
    slack_se: float = 0.0  # standard errors of the bounding metric by which the bound may be missed


@dataclass
class WarmStartConfig:
    """What a new study starts from."""

    points: list[dict[str, Any]] = field(default_factory=list)  # run first, in this order; the sampler fills gaps
    sweeps: list[str] = field(default_factory=list)  # directories of sweeps whose results are taken over


@dataclass
class SweeperConfig:
    """`hydra/sweeper=depo_optuna`."""

    _target_: str = "hydra_plugins.depo_optuna.sweeper.DepoOptunaSweeper"
    _recursive_: bool = False
    _convert_: str = "all"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}])
    sampler: Any = MISSING
    study_name: str = "study"  # also names the sweep's directory: the same name goes on with the same study
    storage: str | None = None  # an Optuna storage URL; null: journal.log in the sweep's directory
    params: dict[str, Any] = field(default_factory=dict)  # key → override, as on the command line
    objectives: Any = None  # metric → maximize | minimize; null: success up, tokens per episode down
    constraints: list[ConstraintConfig] = field(default_factory=list)
    metrics: list[str] | None = field(default_factory=lambda: list(METRICS))  # names to accept; null: any
    replicate: str | None = "seed"  # values of this key are repetitions of every trial, not a parameter
    n_trials: int | None = None  # of the study, resumed ones included; null: the whole grid, else 20
    timeout: float | None = None  # seconds of this call after which no trial is started
    workers: int | None = None  # trials at a time; null: as many as the launcher's n_jobs, 1 without
    max_failure_rate: float = 0.5  # of ended trials, from the fifth on; above it no trial is started
    warm_start: WarmStartConfig = field(default_factory=WarmStartConfig)
    isolate: bool = True  # a process for each job, so that one that is killed does not take the sweep with it
    preload: list[str] = field(
        default_factory=lambda: ["depo_lightning.preload"]
    )  # modules that every job needs, imported once


@dataclass
class SamplerConfig:
    """Arguments beyond these are those of Optuna's class: `+hydra.sweeper.sampler.NAME=…`."""

    _target_: str = MISSING
    seed: int | None = 0


@dataclass
class TPEConfig(SamplerConfig):
    """Tree-structured Parzen estimator."""

    _target_: str = "optuna.samplers.TPESampler"
    n_startup_trials: int = 10


@dataclass
class NSGAIIConfig(SamplerConfig):
    """Genetic algorithm for several objectives."""

    _target_: str = "optuna.samplers.NSGAIISampler"
    population_size: int = 50


@dataclass
class GPConfig(SamplerConfig):
    """Gaussian process with expected (hypervolume) improvement."""

    _target_: str = "optuna.samplers.GPSampler"
    n_startup_trials: int = 10


@dataclass
class RandomConfig(SamplerConfig):
    """Independent draws."""

    _target_: str = "optuna.samplers.RandomSampler"


@dataclass
class QMCConfig(SamplerConfig):
    """Low-discrepancy sequence."""

    _target_: str = "optuna.samplers.QMCSampler"
    qmc_type: str = "sobol"
    scramble: bool = True


@dataclass
class GridConfig(SamplerConfig):
    """Every combination of choices and ranges, in order."""

    _target_: str = "depo_lightning.tuning.grid.GridSampler"


SAMPLERS = {
    "tpe": TPEConfig,
    "nsgaii": NSGAIIConfig,
    "gp": GPConfig,
    "random": RandomConfig,
    "qmc": QMCConfig,
    "grid": GridConfig,
}


def register() -> None:
    """Put sweeper and samplers into Hydra's ConfigStore."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="depo_optuna", node=SweeperConfig, provider="depo_lightning")
    for name, node in SAMPLERS.items():
        store.store(group="hydra/sweeper/sampler", name=name, node=node, provider="depo_lightning")
