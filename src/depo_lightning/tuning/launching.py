"""Starting a sweep's workers: in threads of this process, or as the jobs of any Hydra launcher."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState
from rich.markup import escape

from depo_lightning.children import end_children
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.processes import cores, forget_launcher
from depo_lightning.progress import console
from depo_lightning.tuning.config import SweeperConfig
from depo_lightning.tuning.study import WORKERS, SharedStudy, study_lock
from depo_lightning.tuning.worker import Worker


def worker_count(settings: SweeperConfig, config: DictConfig) -> int:
    """How many trials run at a time.

    Raises:
        ConfigError: the launcher does not say, and neither does `hydra.sweeper.workers`; or several workers were to run
            their jobs in this process.
    """
    if _here(config):
        count = settings.workers or OmegaConf.select(config, "hydra.launcher.n_jobs") or 1
        if count > 1 and not settings.isolate:
            raise ConfigError(
                f"hydra.sweeper.isolate=false: {count} workers cannot run jobs in one process; "
                "set hydra.sweeper.workers=1, isolate=true or another hydra/launcher"
            )
        return count
    if settings.workers is not None:
        return settings.workers
    n_jobs = OmegaConf.select(config, "hydra.launcher.n_jobs")
    if isinstance(n_jobs, int) and n_jobs > 0:
        return n_jobs
    raise ConfigError("hydra.sweeper.workers=null: say how many workers this launcher is to start")


def launch(worker: Worker, shared: SharedStudy, count: int, context: HydraContext, config: DictConfig) -> None:
    """Start workers and wait until no trial is due.

    Raises:
        MachineError: the launcher cannot start workers, or loses them and nothing moves.
    """
    if not _here(config):
        _elsewhere(worker, shared, count, context, config)
    elif count == 1:
        worker()
    else:
        _in_threads(worker, count)


def _here(config: DictConfig) -> bool:
    """Whether the launcher is one of those that run jobs on this machine without a service's help."""
    return str(config.hydra.launcher._target_).endswith((".BasicLauncher", ".SideBySideLauncher"))


def _in_threads(worker: Worker, count: int) -> None:
    """Each thread only waits for its jobs' processes, which share the cores."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    errors: list[BaseException] = []

    def work() -> None:
        try:
            worker()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, name=f"worker {i}", daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)  # in slices, so that Ctrl-C is heard
    except BaseException:
        end_children()
        raise
    if errors:
        raise errors[0]


@dataclass(frozen=True)
class _Launched:
    """A worker as a launcher's job."""

    worker: Worker

    def __call__(self, config: DictConfig) -> int:
        forget_launcher()
        return self.worker(config)


def _elsewhere(worker: Worker, shared: SharedStudy, count: int, context: HydraContext, config: DictConfig) -> None:
    """Launch the workers, and launch them again when some were lost, as long as trials start or end.

    joblib ends all workers when one was killed; elsewhere the others go on, and are waited for: they take up what the
    lost ones left.
    """
    if "n_jobs" in config.hydra.launcher:
        config.hydra.launcher.n_jobs = count  # else joblib would hold some of them back
    places = [[*worker.space.fixed, f"hydra.sweep.subdir={WORKERS}/{i}"] for i in range(count)]
    while True:
        before = _progress(shared)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=_Launched(worker), config=config
        )
        try:
            ended = launcher.launch(places, initial_job_idx=0)
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            if _progress(shared) == before:
                raise MachineError(
                    f"the launcher's workers cannot run: {reason}; what has ended is kept, the same command goes on"
                ) from error
            console.print(f"[yellow]a worker was lost[/] ({escape(reason)})")
            while _at_work(shared):
                time.sleep(1.0)
            if sum(trial.state.is_finished() for trial in shared.own_trials()) >= worker.n_trials:
                return
            console.print("starting the workers again")
            continue
        for job in ended:
            _ = job.return_value  # raises what ended a worker
        return


def _at_work(shared: SharedStudy) -> bool:
    """Whether a living worker runs a trial."""
    with study_lock(shared.directory):
        return any(t.state is TrialState.RUNNING and shared.alive(t) for t in shared.own_trials())


def _progress(shared: SharedStudy) -> int:
    """Grows with every trial that starts or ends."""
    states = [trial.state for trial in shared.own_trials()]
    return sum(state is not TrialState.WAITING for state in states) + sum(state.is_finished() for state in states)
