"""The summary run of a sweep: everything waits in its directory for `wandb sync`."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import pytest

from depo_lightning.sweeps import summary_run
from depo_lightning.sweeps.report import write_report
from depo_lightning.sweeps.summary_run import log_sweep_summary
from depo_lightning.tracking_backends import WandbBackend

HISTORY = [0.5, 2.0, 3.5, 3.5]
IMPORTANCE = {"success_rate": {"alpha1": 0.75, "thresholds": 0.25}, "tokens_all": {"alpha1": float("nan")}}


@pytest.fixture
def report(sweep):
    """With a history, with importances, and without one of the images."""
    written = write_report(sweep)
    (sweep / "differences.png").unlink()
    return replace(written, hypervolume_history=HISTORY, importance=IMPORTANCE)


def _table(root, name):
    (path,) = root.glob(f"wandb/offline-run-*/files/media/table/{name}_*.json")
    content = json.loads(path.read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def test_the_summary_run_holds_table_figures_front_and_curve(report, offline_run):
    log_sweep_summary(report, kind="wandb", project="p")
    root = report.directory / "summary"
    kept = offline_run(root)
    assert (kept.run.run_group, kept.run.job_type) == ("multirun-grid", "sweep-summary")
    assert kept.config["objectives"] == {"success_rate": "maximize", "tokens_all": "minimize"}
    assert (kept.config["jobs"], kept.config["keys"]) == (4, ["alpha1", "thresholds"])
    assert kept.summary["front/1/success_rate"] == 0.8
    assert kept.summary["front/2/tokens_all"] == 150
    assert "front/0/success_rate" not in kept.summary
    assert kept.summary["hypervolume"] == pytest.approx(report.hypervolume)
    curve = [(c["sweep/step"], c["sweep/hypervolume"]) for c in kept.curves if "sweep/hypervolume" in c]
    assert curve == list(enumerate(HISTORY))
    drawn = ("pareto", "hypervolume", "importance")
    shown = {key.removesuffix("/_type") for curve in kept.curves for key in curve if key.endswith("/_type")}
    assert shown == {"points", "jobs", "importance", "pareto"} | {f"figures/{name}" for name in drawn}
    assert len(list(root.glob("wandb/offline-run-*/files/media/images/figures/*.png"))) == len(drawn)
    assert list(root.glob("wandb/offline-run-*/files/media/plotly/*.json"))
    assert json.loads((root / "tracking.json").read_text())["run_id"] == kept.run.run_id


def test_the_tables_hold_points_jobs_and_importance(report, offline_run):
    log_sweep_summary(report, kind="wandb", project="p")
    root = report.directory / "summary"
    offline_run(root)
    points = _table(root, "points")
    assert [(p["job"], p["alpha1"], p["success_rate"]) for p in points[:3]] == [(0, 0, 0.7), (1, 1, 0.8), (2, 2.5, 0.6)]
    assert [p["thresholds"] for p in points] == ["babyai", "relative", None, "relative"]
    assert (points[3]["status"], points[3]["success_rate"], points[3]["tokens_all"]) == ("failed", None, None)
    jobs = _table(root, "jobs")
    assert [(j["job"], j["trial"], j["directory"]) for j in jobs] == [(i, None, str(i)) for i in range(4)]
    assert [(j["run"], j["url"]) for j in jobs] == [(None, None), ("abc", "https://w/abc"), (None, None), (None, None)]
    shares = [(s["objective"], s["parameter"], s["importance"]) for s in _table(root, "importance")]
    assert shares == [
        ("success_rate", "alpha1", 0.75),
        ("success_rate", "thresholds", 0.25),
        ("tokens_all", "alpha1", None),
    ]


def test_a_sweep_without_a_study_has_no_importance(sweep, offline_run):
    report = replace(write_report(sweep), importance={})
    log_sweep_summary(report, kind="wandb", project="p")
    kept = offline_run(report.directory / "summary")
    assert not any(key.startswith("importance") for curve in kept.curves for key in curve)


@pytest.mark.parametrize("online", [True, False])
def test_only_an_online_run_gets_a_view(report, monkeypatch, online):
    saved = []
    link = {"project": "p", "entity": "me", "url": "https://wandb.example.org/me/p/runs/1" if online else None}
    monkeypatch.setattr(WandbBackend, "link", lambda *_: link)
    monkeypatch.setattr(summary_run, "save_workspace_view", lambda *arguments: saved.append(arguments))
    log_sweep_summary(report, kind="wandb")
    assert saved == ([(report, "p", "me", "multirun-grid")] if online else [])


def test_a_summary_that_cannot_be_tracked_is_one_warning(report, monkeypatch):
    link = {"project": "p", "entity": "me", "url": "https://wandb.example.org/me/p/runs/1"}
    monkeypatch.setattr(WandbBackend, "link", lambda *_: link)
    monkeypatch.setattr(WandbBackend, "plot", lambda *_: 1 / 0)
    monkeypatch.setattr(summary_run, "save_workspace_view", lambda *_: pytest.fail("there is no run to view"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        log_sweep_summary(report, kind="wandb")
    assert len([w for w in told if "the run goes on" in str(w.message)]) == 1
