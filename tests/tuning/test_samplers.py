"""The sweeper proposes what Optuna's own loop would, trial by trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from tests.tuning.stub_app import evaluate

from depo_lightning.pareto import hypervolume
from depo_lightning.tuning.outcome import Outcome, State
from depo_lightning.tuning.study import SharedStudy

DISTRIBUTIONS = {"x0": FloatDistribution(0, 1), "x1": FloatDistribution(0, 1)}
MIXED = {"x0": FloatDistribution(0.01, 1, log=True), "x1": IntDistribution(0, 4), "kind": CategoricalDistribution("ab")}
SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "tpe": lambda: TPESampler(seed=0),
    "univariate tpe": lambda: TPESampler(seed=0, multivariate=False),
    "nsgaii": lambda: NSGAIISampler(seed=0, population_size=10),
    "random": lambda: RandomSampler(seed=0),
    "qmc": lambda: QMCSampler(seed=0),
    "gp": lambda: GPSampler(seed=0, n_startup_trials=4),
}


def new_study(sampler: BaseSampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.set_metric_names(["f1", "f2"])
    return study


def value(problem: str, params: dict[str, Any]) -> tuple[float, float]:
    f1, f2 = evaluate(problem, [params["x0"], params["x1"] / (4 if "kind" in params else 1)])
    return f1, f2 + (params.get("kind") == "b")


def ours(problem: str, sampler: Callable[[], BaseSampler], space: dict[str, Any], n: int, path: Path) -> optuna.Study:
    shared = SharedStudy(new_study(sampler()), sampler(), space, path, n, 1.0)
    with shared.worker() as name:
        while assignment := shared.take(name):
            metrics = dict(zip(("f1", "f2"), value(problem, assignment.params), strict=True))
            shared.tell(assignment.number, Outcome(State.COMPLETE, metrics), {}, {})
    return shared.study


def theirs(problem: str, sampler: Callable[[], BaseSampler], space: dict[str, Any], n: int) -> optuna.Study:
    study = new_study(sampler())

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        for name, d in space.items():
            if isinstance(d, CategoricalDistribution):
                trial.suggest_categorical(name, d.choices)
            elif isinstance(d, IntDistribution):
                trial.suggest_int(name, d.low, d.high)
            else:
                trial.suggest_float(name, d.low, d.high, log=d.log)
        return value(problem, trial.params)

    study.optimize(objective, n_trials=n)
    return study


def volume(study: optuna.Study) -> float:
    return hypervolume([trial.values for trial in study.trials], [1.1, 11.0])


@pytest.mark.parametrize(
    ("name", "problem", "space", "n"),
    [
        ("tpe", "zdt1", DISTRIBUTIONS, 200),
        ("nsgaii", "zdt2", DISTRIBUTIONS, 200),
        ("random", "dtlz2", DISTRIBUTIONS, 200),
        ("qmc", "zdt1", DISTRIBUTIONS, 200),
        ("univariate tpe", "zdt2", MIXED, 60),
        ("gp", "zdt1", MIXED, 12),
    ],
)
def test_identical_to_optunas_own_loop(name: str, problem: str, space: dict[str, Any], n: int, tmp_path: Path) -> None:
    study = ours(problem, SAMPLERS[name], space, n, tmp_path)
    reference = theirs(problem, SAMPLERS[name], space, n)
    assert [trial.params for trial in study.trials] == [trial.params for trial in reference.trials]
    assert volume(study) == volume(reference)


@pytest.mark.parametrize("name", ["tpe", "univariate tpe", "nsgaii", "random", "qmc"])
@pytest.mark.parametrize("left", ["nothing", "half", "all"])
def test_a_trial_that_died_while_it_was_sampled_gets_what_it_would_have_got(
    name: str, left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`left`: which parameters were stored when the process died; its sampler's new state was not."""
    reference = theirs("zdt1", SAMPLERS[name], MIXED, 24)
    study, sampler = new_study(SAMPLERS[name]()), SAMPLERS[name]()
    first = SharedStudy(study, sampler, MIXED, tmp_path, 12, 1.0)
    for n_trials in (12, 18):
        die_sampling(first, left, monkeypatch) if n_trials == 18 else None
        again = SharedStudy(study, SAMPLERS[name](), MIXED, tmp_path, n_trials, 1.0)
        with again.worker() as worker:
            while assignment := again.take(worker):
                metrics = dict(zip(("f1", "f2"), value("zdt1", assignment.params), strict=True))
                again.tell(assignment.number, Outcome(State.COMPLETE, metrics), {}, {})
    skipped = 1 if name == "qmc" and left != "nothing" else 0  # a sequence's point is used up once it was drawn
    assert len(study.trials) == 18
    if not skipped:
        assert [trial.params for trial in study.trials] == [trial.params for trial in reference.trials[:18]]


def die_sampling(shared: SharedStudy, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a trial as `take` does, and stop before its sampler is stored."""

    class Died(Exception):
        pass

    def die(*_: Any) -> None:
        raise Died

    shared = SharedStudy(shared.study, shared._sampler, MIXED, shared.directory, 99, 1.0)
    if left == "nothing":
        monkeypatch.setattr(SharedStudy, "_sample", die)
    elif left == "half":
        shared._distributions = {"x0": MIXED["x0"]}
    monkeypatch.setattr(SharedStudy, "_save_sampler", die)
    with shared.worker() as worker, pytest.raises(Died):
        shared.take(worker)
    monkeypatch.undo()
