"""The sweeper as a command: trials, failures of every kind, constraints, repetitions, warm starts, wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from optuna.trial import TrialState
from tests.tuning.conftest import Sweep, load, records


def test_trials_directories_and_study_name_each_other(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep("hydra.sweeper.n_trials=4", "hydra/sweeper/sampler=random")
    study = load(tmp_path / "sweep")
    assert [trial.user_attrs["jobs"] for trial in study.trials] == [[0], [1], [2], [3]]
    assert study.metric_names == ["f1", "f2"]
    for trial, record in zip(study.trials, records(tmp_path / "sweep"), strict=True):
        assert record["study"] == "study"
        assert record["trial"] == trial.number
        assert record["params"] == trial.params
        assert list(record["values"].values()) == trial.values
    assert "4 complete" in done.stdout
    again = sweep("hydra.sweeper.n_trials=4", "hydra/sweeper/sampler=random")
    assert "4 of 4 trials done" in again.stdout
    sweep("hydra.sweeper.n_trials=5", "hydra/sweeper/sampler=random")
    assert [r["trial"] for r in records(tmp_path / "sweep")] == [0, 1, 2, 3, 4]
    assert (tmp_path / "log").read_text().count("start") == 5


@pytest.mark.parametrize(
    ("kind", "words", "state", "code"),
    [
        ("raise", "RuntimeError: boom", "fail", 1),
        ("kill", "killed by SIGKILL: out of memory?", "fail", 1),
        ("exit", "ended with exit code 7", "fail", 1),
        ("'NaN'", "f1 = nan: not a finite number", "fail", 1),
        ("length", "returned 3 values for 2 objectives (f1, f2)", "fail", 1),
        ("nothing", "returned nothing", "fail", 1),
        ("name", "returned no f2, only f1, other", "fail", 1),
        ("text", "returned a str", "fail", 1),
        ("input", "alpha1=-1: must be 0 or more", "fail", 2),
        ("prune", "too slow", "pruned", 0),
    ],
)
def test_a_failure_is_recorded_and_the_sweep_goes_on(
    kind: str, words: str, state: str, code: int, sweep: Sweep, tmp_path: Path
) -> None:
    sweep(f"+wrong={kind},no", "+x0=0.5", "+x1=0.5", "hydra/sweeper/sampler=grid", expect=code)
    failed, good = records(tmp_path / "sweep")
    assert failed["state"] == state
    assert words in failed["reason"]
    assert failed["values"] is None
    assert good["state"] == "complete"
    states = [trial.state for trial in load(tmp_path / "sweep").trials]
    assert states == [TrialState.PRUNED if state == "pruned" else TrialState.FAIL, TrialState.COMPLETE]
    assert (tmp_path / "sweep" / "0" / "error.txt").exists() == (state == "fail")
    if kind == "raise":
        assert "Traceback" in (tmp_path / "sweep" / "0" / "error.txt").read_text()


def test_too_many_failures_stop_the_sweep(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep("+wrong=raise", "hydra.sweeper.n_trials=20", "hydra.sweeper.isolate=false", expect=1)
    assert "too many trials failed" in done.stdout
    assert len(records(tmp_path / "sweep")) == 5
    done = sweep("+wrong=raise", "hydra.sweeper.n_trials=7", "hydra.sweeper.max_failure_rate=1", expect=1)
    assert "7 fail" in done.stdout


def test_repetitions_are_jobs_of_one_trial(sweep: Sweep, tmp_path: Path) -> None:
    sweep("+x0=0.25,0.75", "+x1=0", "+seed=0,1,2", "hydra/sweeper/sampler=grid", "hydra.sweeper.isolate=false")
    found = records(tmp_path / "sweep")
    assert [(r["trial"], r["jobs"]) for r in found] == [(0, [0, 1, 2])] * 3 + [(1, [3, 4, 5])] * 3
    assert found[0]["values"] == pytest.approx({"f1": 0.26, "f2": 0.5})  # the mean over seeds 0, 1, 2
    assert found[0]["params"] == {"x0": 0.25}


def test_constraints(sweep: Sweep, tmp_path: Path) -> None:
    sweep(
        "+x0=0.3,0.44,0.5",
        "+x1=0",
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.constraints=[{metric: f1, at_most: bc/f1, slack_se: 1},{metric: f2, at_least: 0.4}]",
        "hydra.sweeper.isolate=false",
    )
    found = [r["constraints"] for r in records(tmp_path / "sweep")]  # bc/f1 = 0.4 ± 0.05
    assert [list(c.values()) for c in found] == [
        pytest.approx([0.3 - 0.45, 0.4 - (1 - 0.3**0.5)]),
        pytest.approx([0.44 - 0.45, 0.4 - (1 - 0.44**0.5)]),
        pytest.approx([0.5 - 0.45, 0.4 - (1 - 0.5**0.5)]),
    ]
    front = load(tmp_path / "sweep").best_trials
    assert [trial.number for trial in front] == [0]  # 1 and 2 are infeasible


def test_listed_points_first_then_the_sampler(sweep: Sweep, tmp_path: Path) -> None:
    points = "hydra.sweeper.warm_start.points=[{x0: 0.1, x1: 0.2},{x0: 0.3}]"
    sweep(points, "hydra.sweeper.n_trials=3", "hydra.sweeper.isolate=false")
    params = [r["params"] for r in records(tmp_path / "sweep")]
    assert params[0] == {"x0": 0.1, "x1": 0.2}
    assert params[1]["x0"] == 0.3
    assert 0 < params[1]["x1"] < 1


def test_a_grid_with_listed_points_runs_every_point_once(sweep: Sweep, tmp_path: Path) -> None:
    points = "hydra.sweeper.warm_start.points=[{x0: 0.2, x1: 0.3},{x0: 0.2, x1: 0.4}]"
    here = ("hydra/sweeper/sampler=grid", "hydra.sweeper.isolate=false", "+x0=0.1,0.2", "+x1=0.3,0.4")
    sweep(*here, points)
    assert [list(r["params"].values()) for r in records(tmp_path / "sweep")] == [
        [0.2, 0.3], [0.2, 0.4], [0.1, 0.3], [0.1, 0.4],
    ]  # fmt: skip
    done = sweep(*here, f"hydra.sweeper.warm_start.sweeps=[{tmp_path / 'sweep'}]", f"hydra.sweep.dir={tmp_path / 'n'}")
    assert "0 of 0 trials done" in done.stdout  # all of the grid is known


def test_a_journal_is_mended_or_its_damage_named(sweep: Sweep, tmp_path: Path) -> None:
    fixed = ("hydra.sweeper.isolate=false",)
    sweep(*fixed, "hydra.sweeper.n_trials=1")
    journal = tmp_path / "sweep" / "journal.log"
    journal.write_text(journal.read_text() + '{"op_code": 4, "wor')
    sweep(*fixed, "hydra.sweeper.n_trials=2")
    assert len(records(tmp_path / "sweep")) == 2
    journal.write_text("garbage\n" + journal.read_text())
    told = sweep(*fixed, "hydra.sweeper.n_trials=3", expect=2)
    assert f"{journal}:1: is damaged" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_storage_serves_one_directory(sweep: Sweep, tmp_path: Path) -> None:
    storage = f"hydra.sweeper.storage=sqlite:///{tmp_path / 'study.db'}"
    sweep(storage, "hydra.sweeper.n_trials=1", "hydra.sweeper.isolate=false")
    told = sweep(storage, "hydra.sweeper.n_trials=2", f"hydra.sweep.dir={tmp_path / 'other'}", expect=2)
    assert f"lives in {tmp_path / 'sweep'}" in told.stderr
    (tmp_path / "sweep").rename(tmp_path / "moved")
    sweep(storage, "hydra.sweeper.n_trials=2", f"hydra.sweep.dir={tmp_path / 'moved'}", "hydra.sweeper.isolate=false")
    assert len(records(tmp_path / "moved")) == 2


def test_two_constraints_on_one_metric_count_in_a_warm_start_too(sweep: Sweep, tmp_path: Path) -> None:
    both = "hydra.sweeper.constraints=[{metric: f1, at_least: 0.5},{metric: f1, at_most: 0.9}]"
    fixed = ("+x1=0", both, "hydra.sweeper.isolate=false")
    sweep("+x0=0.95,0.6", *fixed, "hydra/sweeper/sampler=grid")
    more = (f"hydra.sweep.dir={tmp_path / 'new'}", f"hydra.sweeper.warm_start.sweeps=[{tmp_path / 'sweep'}]")
    sweep("+x0=interval(0,1)", *fixed, *more, "hydra.sweeper.n_trials=1")
    taken = [trial.constraints for trial in load(tmp_path / "new").trials]
    assert taken[0] == pytest.approx({"f1 0": -0.45, "f1 1": 0.05})
    assert taken[0].keys() == taken[2].keys()


def test_a_warm_start_does_not_repeat_what_the_same_seed_proposed(sweep: Sweep, tmp_path: Path) -> None:
    same = ("hydra/sweeper/sampler=random", "hydra.sweeper.isolate=false", "hydra.sweeper.n_trials=2")
    sweep(*same)
    sweep(*same, f"hydra.sweep.dir={tmp_path / 'new'}", f"hydra.sweeper.warm_start.sweeps=[{tmp_path / 'sweep'}]")
    proposed = [tuple(trial.params.values()) for trial in load(tmp_path / "new").trials]
    assert len(set(proposed)) == 4


def test_results_of_finished_sweeps_count(sweep: Sweep, tmp_path: Path) -> None:
    sweep("+x0=0.25,0.75", "+x1=0", "+seed=0,1", "hydra/sweeper/sampler=grid", "hydra.sweeper.isolate=false")
    old, new = tmp_path / "sweep", tmp_path / "new"
    more = (f"hydra.sweep.dir={new}", f"hydra.sweeper.warm_start.sweeps=[{old}]", "hydra.sweeper.isolate=false")
    done = sweep(*more, "+x0=interval(0,0.5)", "+x1=0", "+seed=0,1", "hydra.sweeper.n_trials=2")
    assert f"1 results of {old}; 1 left out" in done.stdout  # 0.75 lies outside
    taken, *run = load(new).trials
    assert taken.params == {"x0": 0.25}
    assert taken.values == pytest.approx([0.255, 0.5])
    assert [trial.user_attrs["jobs"] for trial in run] == [[2, 3], [4, 5]]
    again = sweep(*more, "+x0=interval(0,0.5)", "+x1=0", "+seed=0,1", "hydra.sweeper.n_trials=3")
    assert "results of" not in again.stdout
    assert len(load(new).trials) == 4

    other = (f"hydra.sweep.dir={tmp_path / 'other'}", *more[1:], "+wrong=no", "hydra.sweeper.n_trials=1")
    assert "0 results of" in sweep(*other, "+x0=interval(0,0.5)", "+x1=0", "+seed=0,1").stdout


def test_timeout_starts_no_more_trials(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep("hydra.sweeper.n_trials=50", "hydra.sweeper.timeout=1.5", STUB_SLEEP="0.6")
    assert "trials are left; the same command goes on" in done.stdout
    assert 1 <= len(records(tmp_path / "sweep")) <= 3


def test_multirun_yaml_and_outcomes_are_there(sweep: Sweep, tmp_path: Path) -> None:
    sweep("hydra.sweeper.n_trials=1")
    assert (tmp_path / "sweep" / "multirun.yaml").exists()
    outcome = json.loads((tmp_path / "sweep" / "0" / "outcome.json").read_text())["outcome"]
    assert outcome["state"] == "complete"
    assert set(outcome["metrics"]) == {"f1", "f2", "bc/f1", "bc/f1_se"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["+x0=interval(1,0)", "+x1=range(3,1)"], ["x0=interval(1,0)", "x1=range(3,1)"]),
        (["y=interval(0,1)"], ["'y'"]),
        (["hydra.sweeper.objectives={f1: minimise, f2: up}"], ["f1=minimise", "f2=up"]),
        (["hydra.sweeper.metrics=[f1, f3]"], ["unknown metric 'f2'", "f3"]),
        (["hydra/sweeper/sampler=best"], ["sampler/best", "tpe", "nsgaii"]),
        (["+hydra.sweeper.sampler.colour=red"], ["hydra.sweeper.sampler", "colour"]),
        (["hydra/sweeper/sampler=grid"], ["x0 is continuous", "x1 is continuous"]),
        (["hydra.sweeper.n_trials=0", "hydra.sweeper.workers=0"], ["n_trials=0", "workers=0"]),
        (["hydra.sweeper.storage=sqlite:////nowhere/at/all.db"], ["hydra.sweeper.storage", "cannot be opened"]),
        (["hydra.sweeper.storage=nonsense://x"], ["hydra.sweeper.storage"]),
        (["hydra.sweeper.objectives=f1"], ["write metric: maximize"]),
        (["hydra.sweeper.constraints=[{at_least: 1}]"], ["each needs a metric"]),
        (["hydra.sweeper.constraints=[{metric: f1, at_least: [1]}]"], ["must be a number or a metric"]),
        (["hydra.sweeper.metrics=[f1, f2]", "hydra.sweeper.constraints=[{metric: f1, at_least: foo/f1}]"], ["foo/f1"]),
        (["hydra.sweeper.metrics=[f1]", "hydra.sweeper.objectives=null"], ["unknown metric"]),
        (["hydra.sweeper.metrics=[f1, f2]", "~hydra.sweeper.objectives.f2"], ["needs two objectives"]),
        (["+c=nan,1"], ["nan and inf are no choices"]),
        (["hydra.sweeper.constraints=[{metric: f1}]"], ["exactly one of at_least and at_most"]),
        (["hydra.sweeper.warm_start.points=[{x0: 3}]"], ["x0=3 is outside"]),
        (["hydra.sweeper.warm_start.sweeps=[nowhere]"], ["nowhere: no such directory"]),
        (["+x0=0.5", "+x1=0.5"], ["nothing is searched"]),
    ],
)
def test_wrong_input_is_told_before_any_trial(
    arguments: list[str], words: list[str], sweep: Sweep, tmp_path: Path
) -> None:
    told = sweep(*arguments, expect=2)
    for word in words:
        assert word in told.stderr
    assert "Traceback" not in told.stderr + told.stdout
    assert not (tmp_path / "log").exists()


def test_a_directory_that_cannot_be_made(sweep: Sweep) -> None:
    told = sweep("hydra.sweep.dir=/proc/nowhere/at/all", expect=1)
    assert "machine error" in told.stderr
    assert "Traceback" not in told.stderr


def test_another_sweep_under_the_same_name_is_refused(sweep: Sweep, tmp_path: Path) -> None:
    sweep("hydra.sweeper.n_trials=1")
    told = sweep("hydra.sweeper.n_trials=2", "+x0=interval(0,0.5)", expect=2)
    assert "parameters.x0" in told.stderr
    assert "choose another study_name" in told.stderr
    assert len(records(tmp_path / "sweep")) == 1
