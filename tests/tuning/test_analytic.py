"""Two hundred trials of analytic problems through the whole sweeper, against Optuna's own loop."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from tests.tuning.conftest import Sweep, load
from tests.tuning.stub_app import evaluate

from depo_lightning.pareto import hypervolume

TRIALS = 200
REFERENCE = {"zdt1": [1.1, 11.0], "zdt2": [1.1, 11.0], "dtlz2": [2.0, 2.0]}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "random", "qmc"])
@pytest.mark.parametrize("problem", ["zdt1", "zdt2", "dtlz2"])
def test_the_same_trials_and_hypervolume(problem: str, sampler: str, sweep: Sweep, tmp_path: Path) -> None:
    fixed = (f"hydra/sweeper/sampler={sampler}", f"hydra.sweeper.n_trials={TRIALS}", "hydra.sweeper.isolate=false")
    sweep(*fixed, problem=problem)
    found = load(tmp_path / "sweep").trials

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {
        "tpe": optuna.samplers.TPESampler(seed=0, n_startup_trials=10),
        "nsgaii": optuna.samplers.NSGAIISampler(seed=0, population_size=50),
        "random": optuna.samplers.RandomSampler(seed=0),
        "qmc": optuna.samplers.QMCSampler(seed=0, qmc_type="sobol", scramble=True),
    }
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=samplers[sampler])
    names = [f"x{i}" for i in range(3 if problem == "dtlz2" else 2)]
    study.optimize(lambda t: evaluate(problem, [t.suggest_float(n, 0, 1) for n in names]), n_trials=TRIALS)

    assert [trial.params for trial in found] == [trial.params for trial in study.trials]
    volumes = [hypervolume([t.values for t in trials], REFERENCE[problem]) for trials in (found, study.trials)]
    assert volumes[0] >= volumes[1] > 0
