"""One Optuna study that several workers, processes and machines share, and that survives the death of any of them.

Everything that decides is done under one lock in the sweep's directory: which trial is next, what it samples, who
runs it. Trial n has the jobs n·r to n·r + r − 1, r being the number of repetitions, and keeps its number: one whose
worker died is taken up again as it is, not copied. The sampler is kept beside the study, so that a sweep that was
killed samples what an undisturbed one would.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from depo_lightning.files import write_atomic
from depo_lightning.tuning.outcome import Outcome, State

WORKERS, SAMPLER, LOCK = ".workers", "sampler.pkl", "study.lock"
OWNER, WARM = "worker", "warm_start"
_MIN_ENDED = 5  # trials before their failure rate says anything
_STATES = {State.COMPLETE: TrialState.COMPLETE, State.FAIL: TrialState.FAIL, State.PRUNED: TrialState.PRUNED}


@dataclass(frozen=True)
class Assignment:
    """A trial that a worker is to run."""

    number: int
    params: dict[str, Any]
    resumed: bool


class SharedStudy:
    """The study of a sweep's directory, as one worker sees it.

    Args:
        study: the loaded study.
        sampler: a fresh sampler, for a study that has none stored.
        distributions: of all parameters, in order.
        directory: the sweep's directory; all who share the study see it.
        n_trials: how many trials the study is to have, those taken over from other sweeps not counted.
        max_failure_rate: share of failed trials above which none is started.
    """

    def __init__(
        self,
        study: optuna.Study,
        sampler: optuna.samplers.BaseSampler,
        distributions: Mapping[str, BaseDistribution],
        directory: Path,
        n_trials: int,
        max_failure_rate: float,
    ) -> None:
        self.study, self.directory = study, directory
        self._sampler, self._distributions = sampler, dict(distributions)
        self._n_trials, self._max_failure_rate = n_trials, max_failure_rate
        self._lock = study_lock(directory)

    @contextlib.contextmanager
    def worker(self) -> Iterator[str]:
        """A worker's name, which counts as alive as long as this context is open, on this machine and on others."""
        name = uuid.uuid4().hex[:12]
        path = _worker_lock(self.directory, name)
        with FileLock(path):
            yield name
        path.unlink(missing_ok=True)

    def take(self, worker: str) -> Assignment | None:
        """The next trial for this worker: first those that a dead worker left, then a new one; None if none is due."""
        with self._lock:
            trials = self.own_trials()
            started = [t for t in trials if t.state is not TrialState.WAITING]
            left = next((t for t in started if t.state is TrialState.RUNNING and not self.alive(t)), None)
            if left is None and (len(started) >= self._n_trials or self.too_many_failed(trials)):
                return None
            last = self._load_sampler()
            trial = self.study.ask() if left is None else Trial(self.study, left._trial_id)
            if left is None or (OWNER not in left.user_attrs and last < left.number):
                self._sample(trial, left)
                self._save_sampler(trial.number)
            trial.set_user_attr(OWNER, worker)
            return Assignment(trial.number, dict(trial.params), left is not None)

    def tell(self, number: int, outcome: Outcome, constraints: Mapping[str, float], attrs: Mapping[str, Any]) -> None:
        """Record the end of a trial, with its constraints (above 0: broken) and notes."""
        with self._lock:
            frozen = self.study.get_trials(deepcopy=False)[number]
            if frozen.state is not TrialState.RUNNING:
                return  # another worker took us for dead, and was quicker
            self._load_sampler()
            trial = Trial(self.study, frozen._trial_id)
            for name, value in attrs.items():
                trial.set_user_attr(name, value)
            for name, value in constraints.items():
                trial.set_constraint(name, value)
            values = None
            if outcome.state is State.COMPLETE:
                values = [outcome.metrics[name] for name in self.study.metric_names or ()]
            self.study.tell(number, values, _STATES[outcome.state])

    def own_trials(self) -> list[FrozenTrial]:
        """The study's trials but for those taken over from other sweeps."""
        return [t for t in self.study.get_trials(deepcopy=False) if WARM not in t.user_attrs]

    def too_many_failed(self, trials: list[FrozenTrial] | None = None) -> bool:
        """Whether more trials failed than is tolerated."""
        ended = [t for t in trials or self.own_trials() if t.state.is_finished()]
        failed = sum(t.state is TrialState.FAIL for t in ended)
        return len(ended) >= _MIN_ENDED and failed > self._max_failure_rate * len(ended)

    def alive(self, trial: FrozenTrial) -> bool:
        """Whether the worker that started a trial still holds its lock."""
        if OWNER not in trial.user_attrs:
            return False  # it died between creating the trial and saying so: we hold the lock under which that is done
        path = _worker_lock(self.directory, trial.user_attrs[OWNER])
        if not path.exists():
            return False
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True

    def _sample(self, trial: Trial, left: FrozenTrial | None) -> None:
        """Draw all parameters; those that a trial left half-sampled already has are drawn and dropped.

        So the sampler's random numbers are used up as if nothing had happened.
        """
        for name, distribution in self._distributions.items():
            if left is not None and name in left.params and name not in trial.relative_params:
                self.study.sampler.sample_independent(self.study, left, name, distribution)
            _suggest(trial, name, distribution)

    def _load_sampler(self) -> int:
        """Put the stored sampler to work; returns the number of the trial it sampled last, -1 for none."""
        last = -1
        with contextlib.suppress(FileNotFoundError, EOFError, pickle.UnpicklingError, AttributeError, ValueError):
            last, self._sampler = pickle.loads((self.directory / SAMPLER).read_bytes())
        self.study.sampler = self._sampler
        return last

    def _save_sampler(self, number: int) -> None:
        write_atomic(self.directory / SAMPLER, pickle.dumps((number, self._sampler)))


def study_lock(directory: Path) -> FileLock:
    """The lock under which everything is decided that concerns the study of a sweep's directory."""
    (directory / WORKERS).mkdir(parents=True, exist_ok=True)
    return FileLock(directory / WORKERS / LOCK)


def trial_record(trial: FrozenTrial, study: optuna.Study) -> dict[str, Any]:
    """A trial as the JSON object that its job directories hold."""
    return {
        "study": study.study_name,
        "trial": trial.number,
        "state": "running" if trial.state is TrialState.RUNNING else trial.state.name.lower(),
        "reason": trial.user_attrs.get("reason", ""),
        "params": json.loads(json.dumps(trial.params, default=str)),
        "values": dict(zip(study.metric_names or (), trial.values, strict=True)) if trial.values else None,
        "constraints": dict(trial.constraints),
        "jobs": trial.user_attrs.get("jobs", []),
        "warm_start": trial.user_attrs.get(WARM),
    }


def _worker_lock(directory: Path, name: str) -> Path:
    return directory / WORKERS / f"{name}.lock"


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> None:
    match distribution:
        case CategoricalDistribution():
            trial.suggest_categorical(name, distribution.choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_float(name, low, high, step=step, log=log)
