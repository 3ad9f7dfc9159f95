"""Weights & Biases: modes without a prompt, what an offline run holds, and runs that outlive a broken service."""

from __future__ import annotations

import json
import math
import sys
import warnings
from typing import Any

import pytest

from depo_lightning.tracking import Tracker, flat_results
from depo_lightning.tracking_backends import has_wandb_key, wandb_mode

POLICY = {  # all episodes crashed
    "metrics": {"tokens_all": {"mean": None, "se": None, "n": 0}},
    "counts": {"crashed": 300},
    "timing": {},
    "difference_to_bc": None,
}


def test_wandb_offline_run_holds_config_curves_and_results(tmp_path, offline_run, results, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["run.py", "teacher.api_key=sk-very-secret"])
    config = {"alpha1": 3.0, "teacher": {"api_key": "sk-very-secret"}}
    with Tracker.start("wandb", tmp_path, project="p", group="sweep-7", name="sweep-7-0", config=config) as tracker:
        for step in range(3):
            tracker.log({"loss": 1 / (step + 1), "note": "no number"}, step, "bc")
        tracker.log({"loss": 5.0}, 0, "depo")
        tracker.summarise(flat_results(results))
    kept = offline_run(tmp_path)
    curves = kept.curves
    assert [(c["bc/step"], c["bc/loss"]) for c in curves if "bc/loss" in c] == [
        (0, 1),
        (1, 0.5),
        (2, pytest.approx(1 / 3)),
    ]
    assert [(c["depo/step"], c["depo/loss"]) for c in curves if "depo/loss" in c] == [(0, 5)]
    assert {("bc/*", "bc/step"), ("depo/*", "depo/step")} <= {(m.glob_name, m.step_metric) for m in kept.of("metric")}
    assert flat_results(results).items() <= kept.summary.items()
    assert (kept.run.run_group, kept.run.display_name, kept.run.project) == ("sweep-7", "sweep-7-0", "p")
    assert (kept.config["alpha1"], kept.config["teacher"]) == (3, {"api_key": "***"})
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"very-secret" not in written
    (file,) = tmp_path.rglob("*.wandb")  # what is sent later
    assert str(tmp_path).encode() not in file.read_bytes()
    assert capfd.readouterr() == ("", "")


def test_undefined_values_stay_undefined(tmp_path, offline_run):
    with Tracker.start("wandb", tmp_path, project="p") as tracker:
        tracker.table("points", ["job", "tokens", "split"], [[0, None, "test"], [1, 3.5, 1]])
        tracker.summarise(flat_results({"main": "kto", "policies": {"kto": POLICY}}))
        tracker.log({"z0": float("nan")}, 0, "depo")
    kept = offline_run(tmp_path)
    assert {name for name in kept.summary if "tokens" in name} == set()
    assert kept.summary["kto/counts/crashed"] == 300
    assert [curve["depo/z0"] for curve in kept.curves if "depo/z0" in curve] == [pytest.approx(math.nan, nan_ok=True)]
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/points*.json")
    assert json.loads(table.read_text())["data"] == [[0, None, "test"], [1, 3.5, 1]]


def test_mode_is_online_only_with_a_key(monkeypatch, tmp_path):
    assert not has_wandb_key()
    assert wandb_mode(offline=False) == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert wandb_mode(offline=False) == "online"
    assert wandb_mode(offline=True) == "offline"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_mode(offline=False) == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode(offline=False) == "disabled"


@pytest.mark.parametrize(
    ("machine", "host", "found"),
    [("api.wandb.ai", None, True), ("api.wandb.ai", "https://wandb.example.org", False), ("other.org", None, False)],
)
def test_keys_are_found_in_netrc_for_the_right_host(monkeypatch, tmp_path, machine, host, found):
    (tmp_path / "netrc").write_text(f"machine {machine} login user password {'k' * 40}\n")
    if host:
        monkeypatch.setenv("WANDB_BASE_URL", host)
    assert has_wandb_key() is found


def test_a_broken_netrc_is_no_key(tmp_path):
    (tmp_path / "netrc").write_text("machine\n")
    assert not has_wandb_key()


def test_an_unreachable_server_means_an_offline_run(monkeypatch, tmp_path):
    import wandb

    modes = []

    def init(**kwargs):
        modes.append(kwargs["mode"])
        if kwargs["mode"] == "online":
            raise wandb.errors.CommError("no route to host")
        return Broken()

    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr(wandb, "init", init)
    with pytest.warns(UserWarning, match="kept offline"):
        Tracker.start("wandb", tmp_path)
    assert modes == ["online", "offline"]


class Broken:
    """A run whose every call fails."""

    def __getattr__(self, name: str) -> Any:
        raise ConnectionError("the service has gone")


def test_a_tracker_that_breaks_warns_once_and_the_run_goes_on():
    from depo_lightning.tracking_backends import WandbBackend

    tracker = Tracker(WandbBackend(Broken()))
    with pytest.warns(UserWarning, match="the run goes on: ConnectionError"):
        tracker.log({"loss": 1.0}, 0, "bc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker.log({"loss": 1.0}, 1, "bc")
        tracker.finish()
    assert tracker.lightning_loggers("bc") == []


def test_a_tracker_that_does_not_start_is_a_warning(monkeypatch, tmp_path):
    import wandb

    monkeypatch.setattr(wandb, "init", lambda **_: 1 / 0)
    with pytest.warns(UserWarning, match="ZeroDivisionError"):
        tracker = Tracker.start("wandb", tmp_path)
    tracker.log({"loss": 1.0}, 0, "bc")
