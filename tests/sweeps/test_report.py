"""A sweep's report from job directories made by hand: points, front, files, interruptions."""

from __future__ import annotations

import csv
import json
import math
import shutil

import pytest

from depo_lightning.errors import ConfigError, DataError
from depo_lightning.sweeps.formats import csv_text
from depo_lightning.sweeps.points import PointStatus, collect_points, varied_keys
from depo_lightning.sweeps.report import build_report, write_report
from depo_lightning.sweeps.table import markdown, sweep_table, table_rows

OBJECTIVES = {"success_rate": "maximize", "tokens_all": "minimize"}


def test_points_in_order_of_job_with_what_became_of_them(sweep):
    points = collect_points(sweep)
    assert [p.job for p in points] == [0, 1, 2, 3, 4, 10]
    assert [p.status.value for p in points] == ["finished"] * 4 + ["missing", "failed"]
    assert points[5].reason == "no desirable trajectory; lower kappa0"
    assert points[1].overrides == {"alpha1": 0, "alpha2": 3, "thresholds": "relative"}
    assert points[1].metrics["tokens_all"].mean == 240
    assert varied_keys(points) == ["alpha1", "alpha2"]


def test_jobs_without_results_are_never_zero(sweep):
    points = collect_points(sweep)
    assert points[4].metrics == points[5].metrics == {}
    assert all(math.isnan(value) for value in points[4].values(list(OBJECTIVES)))
    rows = list(csv.DictReader(csv_text(build_report(sweep, None, OBJECTIVES)).splitlines()))
    assert [row["success_rate"] for row in rows[4:]] == ["", ""]
    assert [row["on_front"] for row in rows] == ["0", "1", "1", "1", "0", "0"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ('{"main": "depo"}', "policies"),
        ('{"main": "depo", "policies": {}}', "no policy 'depo'"),
    ],
)
def test_results_that_cannot_be_used_are_a_failed_point(sweep, content, words):
    (sweep / "0" / "results.json").write_text(content)
    point = collect_points(sweep)[0]
    assert point.status is PointStatus.FAILED
    assert words in point.reason
    assert 0 not in build_report(sweep, None, OBJECTIVES).front


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".hydra/overrides.yaml", b""),
        (".hydra/overrides.yaml", b"- 'alpha1"),
        (".hydra/overrides.yaml", b"- alpha1=[1\n"),
        (".hydra/overrides.yaml", b"- alpha1\n"),
        (".hydra/overrides.yaml", b"alpha1: 1\n"),
        (".hydra/overrides.yaml", b"\xff\xfe=1"),
        (".hydra/hydra.yaml", b"hydra: {job: ["),
        (".hydra/hydra.yaml", b"\xff\xfe\x00"),
        (".hydra/hydra.yaml", b"- 1\n"),
        ("error.txt", b"data error:\n  - d\xe9faut\n"),
    ],
)
def test_a_broken_file_is_a_failed_point_that_names_it(sweep, name, content):
    (sweep / "1" / name).write_bytes(content)
    report = write_report(sweep)
    point = report.jobs[1]
    assert (point.job, point.status) == (1, PointStatus.FAILED)
    assert point.reason.startswith(name)
    assert "\n" not in point.reason
    assert (point.overrides == {}) == ("overrides" in name)
    assert len(report.points) == len(report.jobs)
    assert report.keys == ["alpha1", "alpha2"]
    assert report.front == [2, 3]
    assert name in (sweep / "sweep.md").read_text()


def test_unreadable_overrides_join_no_configuration_and_make_nothing_vary(tmp_path, played):
    for job in range(4):
        played(tmp_path, job, ["seed=7"] if job < 2 else [], seed=7)
    for job in range(2):
        (tmp_path / str(job) / ".hydra" / "overrides.yaml").write_text("")
    assert [p.numbers for p in build_report(tmp_path, None, OBJECTIVES).points] == [(0,), (1,), (2, 3)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": "nope"}, "policy='nope'.*bc, depo, filtered_bc, kto"),
        (
            {"objectives": {"success_rate": "maximize", "nope": "minimize"}},
            "'nope'.*steps_all, success_rate, tokens_all",
        ),
    ],
)
def test_a_name_that_no_results_have_leaves_the_report_as_it_was(sweep, options, words):
    write_report(sweep)
    before = {path.name: path.read_bytes() for path in sweep.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match=words):
        write_report(sweep, **options)
    assert {path.name: path.read_bytes() for path in sweep.iterdir() if path.is_file()} == before


def test_a_policy_is_not_refused_before_there_are_results(tmp_path, job):
    job(tmp_path, 0, ["alpha1=1"], None)
    assert write_report(tmp_path, "nope").front == []


def test_an_infinite_value_can_be_reported(sweep):
    path = sweep / "0" / "results.json"
    results = json.loads(path.read_text())
    results["policies"]["depo"]["metrics"]["tokens_all"]["mean"] = -math.inf
    path.write_text(json.dumps(results))
    report = write_report(sweep)
    assert report.front == [0, 1, 2, 3]
    assert math.isfinite(report.hypervolume)


def test_a_point_without_a_measured_episode_is_on_no_front(sweep, job):
    job(sweep, 11, ["alpha1=9", "alpha2=9"], (None, None))
    report = build_report(sweep, None, OBJECTIVES)
    assert 6 not in report.front
    assert report.reference is not None


def test_overrides_of_all_kinds_are_read(tmp_path, job):
    overrides = [
        "+experiment=grid",
        "bc.lr=1e-4",
        "stages=[collect,label]",
        "rollout.split='test set'",
        "~teacher",
        "x=null",
    ]
    job(tmp_path, 0, overrides, (0.5, 100.0))
    found = collect_points(tmp_path)[0].overrides
    assert found == {
        "experiment": "grid",
        "bc.lr": 1e-4,
        "stages": "['collect', 'label']",
        "rollout.split": "test set",
        "teacher": None,
        "x": None,
    }


def test_hydra_knows_the_job_number_whatever_the_directory_is_called(sweep):
    (sweep / "2").rename(sweep / "alpha1=3,alpha2=0")
    assert [p.job for p in collect_points(sweep)] == [0, 1, 2, 3, 4, 10]


def test_front_reference_and_hypervolume(sweep):
    report = build_report(sweep, None, OBJECTIVES)
    assert report.front == [1, 2, 3]  # 2 and 3 measured the same
    assert report.reference == pytest.approx([0.71 - 0.1 * (0.81 - 0.71), 258 + 0.1 * (258 - 66)])
    low, dear = report.reference
    expected = (0.72 - low) * (dear - 230) + (0.74 - 0.72) * (dear - 240)
    assert report.hypervolume == pytest.approx(expected)


def test_baselines_shared_by_all_jobs_stand_once(sweep):
    report = build_report(sweep, None, OBJECTIVES)
    assert {b.policy: b.jobs for b in report.baselines} == dict.fromkeys(("bc", "filtered_bc", "kto"), (0, 1, 2, 3))
    results = json.loads((sweep / "3" / "results.json").read_text())
    results["policies"]["bc"]["metrics"]["tokens_all"]["mean"] = 200.0
    (sweep / "3" / "results.json").write_text(json.dumps(results))
    report = build_report(sweep, None, OBJECTIVES)
    assert [b.jobs for b in report.baselines if b.policy == "bc"] == [(0, 1, 2), (3,)]


def test_another_policy_can_be_compared(sweep):
    report = build_report(sweep, "kto", OBJECTIVES)
    assert report.points[0].metrics["tokens_all"].mean == 258
    assert {b.policy for b in report.baselines} == {"bc", "filtered_bc", "depo"}
    assert report.front == [0, 1, 2, 3]


def test_csv_is_the_same_after_an_interruption_and_elsewhere(sweep, job, tmp_path):
    """Another place, another order of writing, other times: the same bytes."""
    undisturbed = csv_text(build_report(sweep, None, OBJECTIVES))
    moved = tmp_path / "elsewhere"
    for number in ("3", "10", "0", "4", "2", "1"):
        shutil.copytree(sweep / number, moved / number)
    results = json.loads((moved / "2" / "results.json").read_text())
    results["timing"]["seconds_per_stage"]["bc"] = 9.9
    results["policies"]["depo"]["timing"]["seconds_per_episode"]["mean"] = 7.0
    (moved / "2" / "results.json").write_text(json.dumps(results))
    assert csv_text(build_report(moved, None, OBJECTIVES)) == undisturbed
    assert str(tmp_path) not in undisturbed
    assert "seconds" not in undisturbed


def test_report_leaves_its_files(sweep):
    report = write_report(sweep)
    data = json.loads((sweep / "pareto.json").read_text())
    assert data["front"] == [1, 2, 3]
    assert [p["job"] for p in data["points"] if p["on_front"]] == [1, 2, 3]
    assert data["points"][1]["overrides"]["alpha2"] == 3
    assert data["objectives"] == [{"name": n, "direction": d} for n, d in OBJECTIVES.items()]
    assert data["hypervolume"] == pytest.approx(report.hypervolume)
    assert (sweep / "sweep.csv").read_text() == csv_text(report)
    assert (sweep / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert not list(sweep.glob(".*partial"))


def test_tables(sweep):
    report = build_report(sweep, None, OBJECTIVES)
    text = markdown(report)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[2].startswith("| 1 * | 0 | 3 | 0.740 ± 0.025 | 240.0 ± 6.0 |")
    assert any("no desirable trajectory" in row for row in rows)
    assert any(row.startswith("| filtered BC |") for row in rows)
    assert "4 of 6 jobs finished" in text
    assert len({row.count("|") for row in rows}) == 1
    assert sweep_table(report).row_count == 6 + 3
    header, plain = table_rows(report)
    assert dict(zip(header, plain[4], strict=True))["success_rate"] is None


def test_an_empty_sweep_has_a_report_too(tmp_path, job):
    job(tmp_path, 0, ["alpha1=1"], None)
    report = write_report(tmp_path)
    assert report.front == []
    assert report.hypervolume == 0
    assert json.loads((tmp_path / "pareto.json").read_text())["reference_point"] is None


def test_wrong_input(sweep, tmp_path):
    with pytest.raises(DataError, match="no such directory"):
        write_report(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="two objectives"):
        write_report(sweep, objectives={"success_rate": "maximize"})
    with pytest.raises(ConfigError, match="upwards"):
        write_report(sweep, objectives={"success_rate": "upwards", "tokens_all": "minimize"})
