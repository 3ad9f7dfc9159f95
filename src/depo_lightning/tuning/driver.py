"""A whole sweep: check everything, open the study, launch workers, say how it went."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.singleton import Singleton
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from depo_lightning.cli import fail_later
from depo_lightning.errors import MachineError
from depo_lightning.files import machine_faults
from depo_lightning.progress import console
from depo_lightning.tuning.grid import GridSampler
from depo_lightning.tuning.jobs import Task
from depo_lightning.tuning.launching import launch, worker_count
from depo_lightning.tuning.opening import create_study, open_storage, queue_points
from depo_lightning.tuning.settings import check_space, make_sampler, queued_points, read_settings, trial_count
from depo_lightning.tuning.space import parse_space
from depo_lightning.tuning.study import SharedStudy, study_lock
from depo_lightning.tuning.warm_start import take_over
from depo_lightning.tuning.worker import Worker


def sweep(
    values: Mapping[str, Any],
    arguments: Sequence[str],
    context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
) -> optuna.Study:
    """Run what the study still lacks; several processes may do so at once.

    Args:
        values: fields of `SweeperConfig`.
        arguments: the command line's task overrides.
        context, task_function, config: as Hydra hands them to a sweeper.

    Raises:
        ConfigError: before any trial. MachineError: the sweep's directory cannot be written.
    """
    settings = read_settings(values)
    space = parse_space(settings.params, arguments, settings.replicate, context.config_loader)
    sampler = make_sampler(settings)
    sample = check_space(space, settings, sampler, context, config)
    workers = worker_count(settings, config)
    directory = Path(config.hydra.sweep.dir).absolute()
    with machine_faults("the sweep's directory cannot be used", directory):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:
            raise MachineError(
                f"hydra.sweep.dir={directory}: cannot be created here; choose another directory"
            ) from error
        with study_lock(directory):
            storage = open_storage(settings.storage, directory)
            study = create_study(settings, space, storage, sample, directory)
            take_over(study, settings, space, context, config)
            first = queued_points(space, settings, study, grid=isinstance(sampler, GridSampler))
            queue_points(study, first)
            n_trials = trial_count(settings, sampler, len(first))
            OmegaConf.save(config, directory / "multirun.yaml")
    objectives = tuple(settings.objectives)
    task = Task(task_function, context, config, Singleton.get_state(), objectives)
    deadline = None if settings.timeout is None else time.time() + settings.timeout
    worker = Worker(task, settings, space, directory, n_trials, deadline)
    shared = worker.open()
    done = sum(trial.state.is_finished() for trial in shared.own_trials())
    console.print(f"study [bold]{settings.study_name}[/] in {directory}: {done} of {n_trials} trials done")
    if done < n_trials:
        launch(worker, shared, workers, context, config)
    _conclude(shared, n_trials)
    return shared.study


def _conclude(shared: SharedStudy, n_trials: int) -> None:
    trials = shared.own_trials()
    counts = Counter(trial.state.name.lower() for trial in trials)
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    console.print(f"study [bold]{shared.study.study_name}[/]: {words}")
    ended = sum(trial.state.is_finished() for trial in trials)
    if shared.too_many_failed() and ended < n_trials:
        console.print("[red]too many trials failed (hydra.sweeper.max_failure_rate): no more are started[/]")
    elif ended < n_trials:
        console.print(f"{n_trials - ended} trials are left; the same command goes on")
    for trial in trials:
        if trial.state is optuna.trial.TrialState.FAIL:
            fail_later(int(trial.user_attrs.get("code", 1)))
