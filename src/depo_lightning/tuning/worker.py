"""A worker: takes trials from the shared study, runs their jobs, records what became of them, until none is due."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from rich.markup import escape

from depo_lightning.files import write_atomic
from depo_lightning.progress import console
from depo_lightning.tracking_link import TRIAL, read_link
from depo_lightning.tuning.config import SweeperConfig
from depo_lightning.tuning.jobs import Task, forget_attempt, left_outcome, run_isolated
from depo_lightning.tuning.opening import open_storage
from depo_lightning.tuning.outcome import Outcome, State, constraint_names, mean_outcome, violation
from depo_lightning.tuning.settings import make_sampler
from depo_lightning.tuning.space import Space
from depo_lightning.tuning.study import OWNER, WARM, Assignment, SharedStudy, trial_record


@dataclass(frozen=True)
class Worker:
    """Callable on any machine that sees the sweep's directory; pickled there by Hydra's launchers.

    Attributes:
        task: the jobs' function and configuration.
        settings, space: of the sweep.
        directory: the sweep's.
        n_trials: of the study.
        deadline: Unix time after which no trial is started.
    """

    task: Task
    settings: SweeperConfig
    space: Space
    directory: Path
    n_trials: int
    deadline: float | None

    def __call__(self, _: Any = None) -> int:
        """Work until no trial is due; returns how many were run. Hydra passes a configuration, which is not used."""
        shared = self.open()
        ran = 0
        with shared.worker() as name:
            while self.deadline is None or time.time() < self.deadline:
                assignment = shared.take(name)
                if assignment is None:
                    break
                self._run(shared, assignment)
                ran += 1
        return ran

    def open(self) -> SharedStudy:
        """The study, which the driver has made."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = open_storage(self.settings.storage, self.directory)
        study = optuna.load_study(study_name=self.settings.study_name, storage=storage)
        known = sum(bool({WARM, OWNER} & trial.user_attrs.keys()) for trial in study.get_trials(deepcopy=False))
        sampler = make_sampler(self.settings, known)  # used unless one is stored
        rate = self.settings.max_failure_rate
        return SharedStudy(study, sampler, self.space.distributions, self.directory, self.n_trials, rate)

    def _run(self, shared: SharedStudy, assignment: Assignment) -> None:
        jobs = self.space.overrides(assignment.params)
        numbers = [assignment.number * len(jobs) + i for i in range(len(jobs))]
        folders = [self.directory / str(number) for number in numbers]
        shown = escape(", ".join(f"{name}={value}" for name, value in assignment.params.items()))
        resumed = " [dim](resumed)[/]" if assignment.resumed else ""
        console.print(f"[bold]trial {assignment.number}[/]  {shown}{resumed}")
        self._record(shared, assignment.number, folders, jobs=numbers)
        started = time.monotonic()
        outcomes: list[Outcome] = []
        for number, overrides, folder in zip(numbers, jobs, folders, strict=True):
            outcomes.append(self._job(number, [*overrides, f"hydra.sweep.subdir={number}"], folder))
            if outcomes[-1].state is not State.COMPLETE:
                break
        outcome, constraints = self._judge(mean_outcome(outcomes))
        notes = {"metrics": outcome.metrics, "reason": outcome.reason, "code": outcome.code}
        attrs = {**notes, "jobs": numbers, "tracking": [read_link(folder) for folder in folders]}
        shared.tell(assignment.number, outcome, constraints, attrs)
        self._record(shared, assignment.number, folders)
        self._print_end(shared, assignment.number, outcome, constraints, time.monotonic() - started)

    def _job(self, number: int, overrides: list[str], folder: Path) -> Outcome:
        done = left_outcome(folder, overrides)
        if done is not None and done.state is State.COMPLETE:
            return done
        forget_attempt(folder)
        if self.settings.isolate:
            return run_isolated(self.task, number, overrides, folder, self.settings.preload)
        return self.task.run(number, overrides, folder)

    def _judge(self, outcome: Outcome) -> tuple[Outcome, dict[str, float]]:
        """Constraints of a complete trial; one that cannot be told makes it a failed one."""
        if outcome.state is not State.COMPLETE:
            return outcome, {}
        found: dict[str, float] = {}
        unknown: list[str] = []
        for name, c in zip(constraint_names(self.settings.constraints), self.settings.constraints, strict=True):
            value = violation(c, outcome.metrics)
            if value is None:
                unknown.append(f"{c.metric} (against {c.at_least if c.at_most is None else c.at_most})")
            else:
                found[name] = value
        if unknown:
            return Outcome.failed(f"a constraint names what was not measured: {', '.join(unknown)}"), {}
        return outcome, found

    def _record(self, shared: SharedStudy, number: int, folders: list[Path], **more: Any) -> None:
        trial = shared.study.get_trials(deepcopy=False)[number]
        text = json.dumps({**trial_record(trial, shared.study), **more}, indent=1) + "\n"
        for folder in folders:
            write_atomic(folder / TRIAL, text)

    def _print_end(
        self, shared: SharedStudy, number: int, outcome: Outcome, constraints: dict[str, float], seconds: float
    ) -> None:
        ended = sum(trial.state.is_finished() for trial in shared.own_trials())
        count = f"[dim]{seconds:.0f} s; {ended} of {self.n_trials}[/]"
        if outcome.state is State.COMPLETE:
            words = ", ".join(f"{name} {outcome.metrics[name]:.4g}" for name in self.settings.objectives)
            broken = [name.partition(" ")[0] for name, value in constraints.items() if value > 0]
            words += f" [yellow](infeasible: {', '.join(broken)})[/]" if broken else ""
        else:
            words = f"[red]{outcome.state}[/]: {escape(outcome.reason)}"
        console.print(f"[bold]trial {number}[/]  {words}  {count}")
