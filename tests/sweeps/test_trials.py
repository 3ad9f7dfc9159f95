from __future__ import annotations

import csv
import json

import pytest

from depo_lightning.sweeps.figures import html_figure
from depo_lightning.sweeps.formats import csv_text, to_json
from depo_lightning.sweeps.points import PointStatus, collect_points
from depo_lightning.sweeps.report import build_report, sweep_objectives, write_report
from depo_lightning.sweeps.table import configuration_cells

OBJECTIVES = {"success_rate": "maximize", "tokens_all": "minimize"}


@pytest.fixture
def study(tmp_path, job, played, trial):
    """A study's directory: good, infeasible, pruned, failed and running trials, and the sweeper's own files."""
    root = tmp_path / "pareto"
    played(root, 0, ["alpha1=0.123456789"], tokens=30, trial=trial(0, warm_start="an older study"))
    broken = {"success_rate 0": 0.02, "tokens_all 1": -3.0}
    played(root, 1, ["alpha1=1.5"], success=1.3, tokens=5, trial=trial(1, constraints=broken))
    for number, state, reason in ((2, "pruned", "below the median"), (3, "fail", "killed"), (4, "running", "")):
        path = job(root, number, [f"alpha1={number}"], None)
        entry = trial(number, state, reason=reason)
        (path / "trial.json").write_text(json.dumps(entry))
    (root / ".workers").mkdir()
    (root / "journal.log").write_text("{}")
    (root / "nan").mkdir()
    return root


def test_states_and_reasons(study):
    report = build_report(study, None, OBJECTIVES)
    assert [p.trial.number for p in report.points] == [0, 1, 2, 3, 4]
    expected = [PointStatus.FINISHED] * 2 + [PointStatus.PRUNED, PointStatus.FAILED, PointStatus.MISSING]
    assert [p.status for p in report.points] == expected
    assert [p.reason for p in report.points] == ["", "", "below the median", "killed", "no results.json"]
    header, rows = configuration_cells(report)
    notes = {row[0]: row[-1] for row in rows}
    assert header[0] == "trial"
    assert notes["1"] == "infeasible: success_rate"
    assert notes["2"] == "pruned: below the median"
    assert notes["3"] == "killed"
    assert next(row for row in rows if row[0].startswith("0"))[1] == "0.123"


def test_an_infeasible_trial_is_shown_but_on_no_front(study):
    report = build_report(study, None, OBJECTIVES)
    assert report.points[1].metrics["tokens_all"].mean < report.points[0].metrics["tokens_all"].mean
    assert report.front == [0]
    assert report.front_share == [1.0, None, None, None, None]
    traces = {trace.name: trace for trace in html_figure(report).data}
    assert len(traces["not eligible"].x) == 1
    assert "constraint success_rate 0 = 0.02" in traces["not eligible"].hovertext[0]
    assert "trial 0 (job 0)" in traces["on the front"].hovertext[0]
    assert "started from = an older study" in traces["on the front"].hovertext[0]
    data = to_json(report)
    assert [p["feasible"] for p in data["points"]] == [True, False, True, True, True]
    assert data["constraints"] == ["success_rate 0", "tokens_all 1"]
    assert report.hypervolume_history[1] == report.hypervolume_history[0]  # it widens nothing


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_constraint_at_its_bound_holds(study, trial, played, value):
    played(study, 5, ["alpha1=9"], success=1.3, tokens=4, trial=trial(5, constraints={"c": value}))
    assert 5 in build_report(study, None, OBJECTIVES).front


def test_a_pruned_trial_with_some_results_is_on_no_front(study, trial, played):
    played(study, 5, ["alpha1=9"], success=1.3, tokens=4, trial=trial(5, "pruned", reason="after seed 0"))
    report = build_report(study, None, OBJECTIVES)
    assert report.points[5].status is PointStatus.PRUNED
    assert report.front == [0]


def test_a_running_trial_with_results_is_on_no_front(study, trial, played):
    played(study, 5, ["alpha1=9"], success=1.3, tokens=4, trial=trial(5, "running"))
    report = build_report(study, None, OBJECTIVES)
    assert report.points[5].metrics
    assert report.front == [0]
    _, rows = configuration_cells(report)
    assert next(row for row in rows if row[0] == "5")[-1] == "running"


def test_unreadable_overrides_leave_a_job_with_its_trial(tmp_path, played, trial):
    for job in range(4):
        number, seed = divmod(job, 2)
        entry = trial(number, jobs=[2 * number, 2 * number + 1])
        played(tmp_path, job, [f"alpha1={number}", f"seed={seed}"], seed, trial=entry)
    (tmp_path / "2" / ".hydra" / "overrides.yaml").write_text("")
    report = build_report(tmp_path, None, OBJECTIVES)
    assert [p.numbers for p in report.points] == [(0, 1), (2, 3)]
    assert report.points[1].overrides == {"alpha1": 1}
    assert report.points[1].reason.startswith("1 of 2 seeds; job 2 failed: .hydra/overrides.yaml")


def test_trials_with_equal_values_stay_apart_and_seeds_within_one_are_averaged(tmp_path, played, trial):
    for number in range(2):
        for seed in range(2):
            job = 2 * number + seed
            entry = trial(number, jobs=[2 * number, 2 * number + 1])
            played(tmp_path, job, ["alpha1=1", f"seed={seed}"], seed, trial=entry)
    report = build_report(tmp_path, None, OBJECTIVES)
    assert [p.numbers for p in report.points] == [(0, 1), (2, 3)]
    assert [p.seeds for p in report.points] == [(0, 1), (0, 1)]


def test_a_trial_speaks_for_all_jobs_that_it_names(tmp_path, job, played, trial):
    played(tmp_path, 0, ["alpha1=1", "seed=0"], 0, trial=trial(7, "fail", reason="seed 1 was killed", jobs=[0, 1]))
    job(tmp_path, 1, ["alpha1=1", "seed=1"], None)
    points = collect_points(tmp_path)
    assert points[1].trial.number == 7
    assert points[1].reason == "seed 1 was killed"
    assert points[1].exit_code == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"study": "s"}', '{"study": "s", "trial": 1, "state": "lost"}'])
def test_a_broken_record_is_told_and_the_results_are_kept(study, text):
    (study / "0" / "trial.json").write_text(text)
    report = build_report(study, None, OBJECTIVES)
    assert report.points[0].metrics
    assert report.points[0].trial is None
    assert report.notes[0].startswith("job 0: trial.json cannot be read")


def test_sweep_csv_names_trials_only_where_there_are_any(study, sweep):
    rows = list(csv.DictReader(csv_text(build_report(study, None, OBJECTIVES)).splitlines()))
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["state"] for row in rows] == ["complete", "complete", "pruned", "fail", "running"]
    assert rows[1]["violated"] == "success_rate 0"
    assert "trial" not in csv_text(build_report(sweep, None, OBJECTIVES)).splitlines()[0].split(",")


def test_the_sweeps_own_objectives_are_the_default(study):
    lines = ["success_rate: maximize", "tokens_all: MINIMIZE", "steps_all: minimize"]
    body = "\n".join(f"      {line}" for line in lines)
    (study / "multirun.yaml").write_text(
        f"hydra:\n  job: ${{nowhere}}\n  sweeper:\n    objectives:\n{body}\nx: ${{y}}\n"
    )
    expected = {"success_rate": "maximize", "tokens_all": "minimize", "steps_all": "minimize"}
    assert sweep_objectives(study) == expected
    assert write_report(study).objectives == expected
    assert write_report(study, objectives=OBJECTIVES).objectives == OBJECTIVES
    (study / "multirun.yaml").write_text("hydra:\n  sweeper:\n    params: null\n")
    assert write_report(study).objectives == OBJECTIVES


@pytest.mark.parametrize("content", [b"hydra: [", b"\xff\xfe\x00", b"- 1\n- 2\n"])
def test_an_unreadable_record_of_the_sweep_leaves_the_default_objectives(study, content):
    (study / "multirun.yaml").write_bytes(content)
    report = write_report(study)
    assert report.objectives == OBJECTIVES
    assert report.notes[0].startswith("multirun.yaml cannot be read: ")
    assert report.notes[0] in json.loads((study / "pareto.json").read_text())["notes"]
    assert "multirun.yaml" not in "".join(write_report(study, objectives=OBJECTIVES).notes)
