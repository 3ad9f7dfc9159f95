"""Seeds as repetitions: grouping, means, half-finished sweeps, what is told without episodes, trials."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from depo_lightning.sweeps.configurations import spans
from depo_lightning.sweeps.formats import configurations_csv, csv_text, to_json
from depo_lightning.sweeps.points import PointStatus, collect_points
from depo_lightning.sweeps.report import build_report
from depo_lightning.sweeps.table import configuration_cells, markdown

OBJECTIVES = {"success_rate": "maximize", "tokens_all": "minimize"}


def report_of(root, **options):
    return build_report(root, None, OBJECTIVES, **options)


def test_jobs_that_differ_in_their_seed_are_one_configuration(seeds):
    report = report_of(seeds)
    assert [p.numbers for p in report.points] == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]
    assert [p.seeds for p in report.points] == [(0, 1, 2), (0, 1, 2), (0, 1)]
    assert report.keys == ["alpha1"]
    assert report.points[0].overrides == {"alpha1": 0, "thresholds": "relative"}
    assert [p.job for p in report.points] == [0, 3, 6]
    for point in report.points:
        measured = [job.metrics for job in point.jobs if job.metrics]
        for name in ("success_rate", "tokens_all", "steps_all"):
            mean = np.mean([metrics[name].mean for metrics in measured])
            assert point.metrics[name].mean == pytest.approx(mean)
            assert point.metrics[name].n == 40 * len(measured)


def test_a_half_finished_configuration_says_so(seeds):
    report = report_of(seeds)
    last = report.points[2]
    assert last.status is PointStatus.FINISHED
    assert last.reason == "2 of 3 seeds; job 8 missing: no results.json"
    assert "means are over 2 to 3 seeds; differences are over common seeds" in report.notes
    header, rows = configuration_cells(report)
    by_job = {row[0].removesuffix(" *"): dict(zip(header, row, strict=True)) for row in rows}
    assert by_job["6-8"]["seeds"] == "2"
    assert by_job["6-8"]["note"] == last.reason
    assert by_job["0-2"]["seeds"] == "3"
    assert "8 of 9 jobs finished" in markdown(report)


def test_fewer_seeds_than_others_have_keep_a_configuration_off_the_front(tmp_path, played):
    for job, line in enumerate((["alpha1=0", "seed=0"], ["alpha1=0", "seed=1"], ["alpha1=1", "seed=0"])):
        played(tmp_path, job, line, seed=job % 2, success=(0.5, 0.5, 1.3)[job], tokens=(30, 30, 5)[job])
    report = report_of(tmp_path)
    assert [p.eligible for p in report.points] == [True, False]
    assert report.points[1].metrics["tokens_all"].mean < report.points[0].metrics["tokens_all"].mean
    assert report.front == [0]
    assert report.front_share[1] is None
    assert report.points[1].reason == "1 of 2 seeds"
    assert "| 1 of 2 seeds |" in markdown(report)
    played(tmp_path, 3, ["alpha1=1", "seed=1"], seed=1, success=1.3, tokens=5)
    report = report_of(tmp_path)
    assert report.front == [1]
    assert report.points[1].reason == ""


def test_baselines_of_all_seeds_stand_once(seeds):
    (bc,) = report_of(seeds).baselines
    assert bc.jobs == tuple(range(8))
    assert bc.seeds == (0, 1, 2)
    means = [job.baselines["bc"]["tokens_all"].mean for job in collect_points(seeds)[:3]]
    assert bc.metrics["tokens_all"].mean == pytest.approx(np.mean(means))


def test_a_job_that_repeats_a_seed_adds_nothing(tmp_path, played):
    played(tmp_path, 0, ["alpha1=0"], success=0.9)
    played(tmp_path, 1, ["alpha1=0"], success=0.9)
    played(tmp_path, 2, ["alpha1=1"], success=0.5)
    report = report_of(tmp_path)
    assert [p.numbers for p in report.points] == [(0, 1), (2,)]
    assert report.points[0].metrics == report.jobs[0].metrics


def test_one_seed_keeps_the_jobs_own_numbers(sweep):
    report = report_of(sweep)
    assert [p.metrics for p in report.points] == [job.metrics for job in report.jobs]
    assert [p.overrides for p in report.points] == [job.overrides for job in report.jobs]
    assert not report.seeded
    assert "seeds" not in configuration_cells(report)[0]


def test_a_seed_that_does_not_vary_is_an_override_like_others(tmp_path, played):
    for job in range(2):
        played(tmp_path, job, [f"alpha1={job}", "seed=7"], seed=7)
    report = report_of(tmp_path)
    assert report.points[0].overrides == {"alpha1": 0, "seed": 7}
    assert report.points[0].seeds == (7,)


def test_a_sweep_over_seeds_alone_is_one_configuration(tmp_path, played):
    for job in range(3):
        played(tmp_path, job, [f"seed={job}"], seed=job)
    report = report_of(tmp_path)
    assert report.front == [0]
    assert report.points[0].label(report.keys) == "job 0-2"
    assert report.importance_reasons["tokens_all"] == "nothing but the seed varies"


def test_without_episodes_the_error_is_pooled_from_the_jobs_own(tmp_path, played):
    for job in range(3):
        played(tmp_path, job, ["alpha1=0", f"seed={job}"], seed=job, table=False)
        played(tmp_path, job + 3, ["alpha1=1", f"seed={job}"], seed=job, table=job > 0)
    report = report_of(tmp_path)
    parts = [job.metrics["tokens_all"] for job in report.jobs[:3]]
    pooled = report.points[0].metrics["tokens_all"]
    between = np.var([e.mean for e in parts], ddof=1) / 3
    assert pooled.mean == pytest.approx(np.mean([e.mean for e in parts]))
    assert pooled.se == pytest.approx(math.sqrt(between + np.mean([e.se**2 for e in parts])))
    assert pooled.n == sum(e.n for e in parts)
    assert not report.points[1].panels  # one job of three has no table: no half answers
    assert report.front_share == [None, None]
    assert report.differences[0].absent == "2 of 2 measured configurations left no episodes of BC"
    assert "jobs 0-3: no episodes.csv" in report.notes
    assert "No differences" in markdown(report)


def test_a_broken_table_of_episodes_is_told_and_not_used(tmp_path, played):
    path = played(tmp_path, 0, ["alpha1=0"])
    (path / "episodes.csv").write_text("policy,env\n")
    report = report_of(tmp_path)
    assert report.points[0].metrics["tokens_all"].n == 40
    assert report.notes[0].startswith("job 0: episodes.csv cannot be read: ")


def test_files_hold_jobs_and_configurations(seeds):
    report = report_of(seeds)
    jobs = list(csv.DictReader(csv_text(report).splitlines()))
    assert [row["job"] for row in jobs] == [str(n) for n in range(9)]
    assert [row["seed"] for row in jobs[:3]] == ["0", "1", "2"]
    points = list(csv.DictReader(configurations_csv(report).splitlines()))
    assert [row["jobs"] for row in points] == ["0 1 2", "3 4 5", "6 7 8"]
    assert float(points[1]["tokens_all"]) == report.points[1].metrics["tokens_all"].mean
    on_front = {n for i in report.front for n in report.points[i].numbers}
    assert {int(row["job"]) for row in jobs if row["on_front"] == "1"} == on_front
    data = json.loads(json.dumps(to_json(report), allow_nan=False))
    assert data["points"][2]["jobs"] == [6, 7, 8]
    assert data["points"][2]["seeds"] == [0, 1]
    assert [entry["seed"] for entry in data["jobs"]] == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert {i for i, p in enumerate(data["points"]) if p["on_front"]} == set(data["front"])


def test_the_hypervolume_grows_with_the_configurations(sweep):
    report = report_of(sweep)
    history = report.hypervolume_history
    low, dear = report.reference
    assert history[0] == pytest.approx((0.71 - low) * (dear - 258))
    assert history == sorted(history)
    assert history[2:] == [pytest.approx(report.hypervolume)] * 4  # 3 equals 2; 4 and 10 have no results
    entries = to_json(report)["hypervolume_history"]
    assert [e["job"] for e in entries] == [0, 1, 2, 3, 4, 10]
    assert [e["hypervolume"] for e in entries] == history


def test_a_study_may_repeat_its_trials_by_another_key(tmp_path, played, trial):
    for job in range(4):
        number, split = divmod(job, 2)
        entry = trial(number, jobs=[2 * number, 2 * number + 1])
        played(tmp_path, job, [f"alpha1={number}", f"search.seed={split}"], trial=entry, success=0.5 + 0.2 * split)
    report = report_of(tmp_path)
    assert [p.numbers for p in report.points] == [(0, 1), (2, 3)]
    assert report.keys == ["alpha1"]
    assert report.points[0].seeds == (0, 1)
    mean = np.mean([job.metrics["success_rate"].mean for job in report.jobs[:2]])
    assert report.points[0].metrics["success_rate"].mean == pytest.approx(mean)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((3,), "3"), ((0, 1), "0,1"), ((0, 1, 2, 7), "0-2,7"), ((0, 4, 8), "0,4,8"), ((), "")],
)
def test_spans(numbers, text):
    assert spans(numbers) == text


def test_environments_and_questions_have_metrics_that_a_sweep_may_name(tmp_path, played):
    path = played(tmp_path, 0, ["alpha1=0"]) / "results.json"
    results = json.loads(path.read_text())
    swapped = {"bc": results["policies"]["depo"], "depo": results["policies"]["bc"]}
    path.write_text(json.dumps({**results, "environments": {"webshop": {"policies": swapped}}}))
    (point,) = collect_points(tmp_path)
    assert point.metrics["webshop/tokens_all"] == point.baselines["bc"]["tokens_all"] != point.metrics["tokens_all"]
    assert point.baselines["bc"]["webshop/tokens_all"] == point.metrics["tokens_all"]
    report = build_report(tmp_path, None, {"webshop/success_rate": "maximize", "webshop/tokens_all": "minimize"})
    assert report.front == [0]
