"""One Hydra job: composed and run here, or in a process of its own that may die without harm to the sweep."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from depo_lightning.files import write_atomic
from depo_lightning.tuning.outcome import ERROR, Outcome, State, of_exception, of_return

OUTCOME = "outcome.json"
_FAREWELL = 120.0  # seconds that a job may take to end once it has its result: trackers send what is left
_LAUNCH = threading.Lock()  # the fork server is started once


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
        setup_globals()
        Singleton.set_state(self.state)
        loader = self.context.config_loader
        job_config = loader.load_sweep_config(self.config, list(overrides))
        with open_dict(job_config):
            job_config.hydra.job.id = f"{job_config.hydra.job.name}_{number}"
            job_config.hydra.job.num = number
        HydraConfig.instance().set_config(job_config)
        outcomes: list[Outcome] = []

        def judged(task_config: DictConfig) -> None:
            """The task, with its outcome on disk the moment it ends: what was finished is not run again."""
            try:
                outcome = of_return(self.function(task_config), self.objectives, directory)
            except Exception as error:
                outcome = of_exception(error)
            _leave(outcome, overrides, directory)
            outcomes.append(outcome)

        run_job(
            hydra_context=self.context,
            config=job_config,
            task_function=judged,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        return outcomes[0]


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
    """Run a job in a child process; its death is an outcome too.

    The child and all its own children die with this process, and when the job has ended.
    """
    fork_server = multiprocessing.get_context("forkserver")
    payload = cloudpickle.dumps((task, number, list(overrides), directory))
    ours, theirs = fork_server.Pipe(duplex=False)
    child = fork_server.Process(target=_child, args=(theirs, payload), name=f"job {number}")
    with _LAUNCH:
        fork_server.set_forkserver_preload([__name__, *preload])
        child.start()
    theirs.close()
    try:
        outcome = Outcome.from_json(cloudpickle.loads(ours.recv_bytes()))
        child.join(_FAREWELL)
    except EOFError:
        child.join()
        left = left_outcome(directory, overrides)  # it may have died on its way out, after its end
        outcome = left or Outcome.failed(_death(child.exitcode))
        if left is None:
            _leave(outcome, overrides, directory)
    finally:
        _kill_group(child.pid)
        child.join()
        ours.close()
    return outcome


def _child(connection: Connection, payload: bytes) -> None:
    os.setsid()  # a group of its own: whatever the job starts can be ended with it
    for notice in (signal.SIGUSR1, signal.SIGUSR2):  # a cluster's, of a time limit: the worker's to act upon
        signal.signal(notice, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    task, number, overrides, directory = cloudpickle.loads(payload)
    try:
        outcome = task.run(number, overrides, directory)
    except Exception as error:  # of Hydra: the configuration cannot be composed
        outcome = of_exception(error)
        _leave(outcome, overrides, directory)
    connection.send_bytes(cloudpickle.dumps(outcome.to_json()))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


def _kill_group(pid: int | None) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pid is not None:
            os.killpg(pid, signal.SIGKILL)


def _death(code: int | None) -> str:
    if code is None or code >= 0:
        return f"the job's process ended with exit code {code} before it returned"
    name = signal.Signals(-code).name
    hint = ": out of memory?" if name == "SIGKILL" else ""
    return f"the job's process was killed by {name}{hint}"


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
