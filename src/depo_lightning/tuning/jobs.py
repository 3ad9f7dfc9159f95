"""One Hydra job: composed and run here, or in a process of its own that may die without harm to the sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from depo_lightning.children import ChildDied, run_child
from depo_lightning.files import write_atomic
from depo_lightning.processes import cores
from depo_lightning.tuning.outcome import ERROR, Outcome, State, of_exception, of_return

OUTCOME = "outcome.json"


@dataclass(frozen=True)
class Task:
    """What all jobs of a sweep share; pickled into the processes that run them.

    Attributes:
        function: the function under `@hydra.main`.
        context, config: Hydra's context and the sweep's configuration.
        state: Hydra's singletons, for other processes.
        objectives: names of what the function must return.
    """

    function: TaskFunction
    context: HydraContext
    config: DictConfig
    state: dict[Any, Any]
    objectives: tuple[str, ...]

    def run(self, number: int, overrides: Sequence[str], directory: Path) -> Outcome:
        """Run job `number` in this process, and leave its outcome in its directory."""
        outcomes: list[Outcome] = []

        def judged(task_config: DictConfig) -> None:
            """The task, with its outcome on disk the moment it ends: what was finished is not run again."""
            try:
                outcome = of_return(self.function(task_config), self.objectives, directory)
            except Exception as error:
                outcome = of_exception(error)
            _leave(outcome, overrides, directory)
            outcomes.append(outcome)

        run_composed(self.context, self.config, self.state, number, overrides, judged)
        return outcomes[0]


def run_composed(
    context: HydraContext,
    config: DictConfig,
    state: dict[Any, Any],
    number: int,
    overrides: Sequence[str],
    function: TaskFunction,
) -> JobReturn:
    """Compose a sweep's job and run it as Hydra does, in any process.

    Args:
        context, config: Hydra's context and the sweep's configuration.
        state: Hydra's singletons.
        number, overrides: of the job.
        function: called with the job's configuration.
    """
    setup_globals()
    Singleton.set_state(state)
    job_config = compose_job(context, config, number, overrides)
    HydraConfig.instance().set_config(job_config)
    return run_job(
        hydra_context=context,
        config=job_config,
        task_function=function,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def compose_job(context: HydraContext, config: DictConfig, number: int, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a sweep's job, Hydra's own part included."""
    job_config = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(job_config):
        job_config.hydra.job.id = f"{job_config.hydra.job.name}_{number}"
        job_config.hydra.job.num = number
    return job_config


def left_outcome(directory: Path, overrides: Sequence[str] | None = None) -> Outcome | None:
    """The outcome that a job (with these overrides) has left in its directory; None if there is none."""
    try:
        entry = json.loads((directory / OUTCOME).read_text(encoding="utf-8"))
        wanted = overrides is None or entry["overrides"] == list(overrides)
        return Outcome.from_json(entry["outcome"]) if wanted else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget_attempt(directory: Path) -> None:
    """Take away what an earlier attempt at a job has left, so that nothing of it counts for the next."""
    for name in (ERROR, OUTCOME):
        (directory / name).unlink(missing_ok=True)


def run_isolated(task: Task, number: int, overrides: Sequence[str], directory: Path, preload: Sequence[str]) -> Outcome:
    """Run a job in a child process; its death is an outcome too."""
    work = partial(_in_child, task, number, list(overrides), directory)
    try:
        return Outcome.from_json(run_child(work, f"job {number}", preload, cores()))
    except ChildDied as death:
        left = left_outcome(directory, overrides)  # it may have died on its way out, after its end
        outcome = left or Outcome.failed(str(death))
        if left is None:
            _leave(outcome, overrides, directory)
        return outcome


def _in_child(task: Task, number: int, overrides: Sequence[str], directory: Path) -> dict[str, Any]:
    try:
        outcome = task.run(number, overrides, directory)
    except Exception as error:  # of Hydra: the configuration cannot be composed
        outcome = of_exception(error)
        _leave(outcome, overrides, directory)
    return outcome.to_json()


def _leave(outcome: Outcome, overrides: Sequence[str], directory: Path) -> None:
    """Write the outcome, and the reason of a failure where every tool looks for it.

    The outcome is not synced to the disk: that takes long enough for a kill to come between, and after a power cut the
    job is run again.
    """
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f".{OUTCOME}.partial"
    partial.write_text(json.dumps({"overrides": list(overrides), "outcome": outcome.to_json()}, indent=1) + "\n")
    partial.replace(directory / OUTCOME)
    if outcome.state is State.FAIL and not (directory / ERROR).exists():
        write_atomic(directory / ERROR, f"{outcome.detail or outcome.reason}\n")
