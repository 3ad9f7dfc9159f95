"""Trial, job directory and tracked run name each other."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from depo_lightning.tracking import Tracker, start_tracker
from depo_lightning.tracking_link import job_record, local_name, read_link

TRIAL = {"study": "alpha", "trial": 7, "params": {"alpha1": 2.5, "teacher.api_key": "sk-very-secret"}}


@pytest.fixture
def job(compose_config, tmp_path, monkeypatch):
    """The configuration of a job, its directory as Hydra and a sweeper leave it, below the working directory."""
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "multirun" / "grid" / "7"
    (output / ".hydra").mkdir(parents=True)
    choices = {"hydra/launcher": "basic", "thresholds": "relative"}
    OmegaConf.save({"hydra": {"runtime": {"choices": choices}}}, output / ".hydra" / "hydra.yaml")
    (output / "trial.json").write_text(json.dumps({**TRIAL, "state": "running", "values": {}}))
    config = compose_config("logger=wandb", f"output={output}", f"store={tmp_path / 'store'}")
    config.sweep = "multirun/grid"
    return config


def test_a_run_and_its_directory_name_each_other_and_the_trial(job, offline_run, tmp_path):
    with start_tracker(job) as tracker:
        link = tracker.link
    output = Path(job.output)
    kept = offline_run(output)
    assert read_link(output) == link
    assert link == {
        "kind": "wandb",
        "run_id": kept.run.run_id,
        "name": "multirun-grid-7",
        "project": "depo_lightning",
        "url": None,
        "directory": link["directory"],
    }
    assert list((output / link["directory"]).glob(f"run-{link['run_id']}.wandb"))
    trial = {**TRIAL, "params": {"alpha1": 2.5, "teacher.api_key": "***"}}
    expected = {"directory": "multirun/grid/7", "choices": {"thresholds": "relative"}, "trial": trial}
    assert kept.config["job"] == expected
    assert (kept.config["output"], kept.config["store"]) == ("multirun/grid/7", "store")
    assert kept.config["sweep"] == "multirun/grid"
    assert kept.config["depo"]["beta"] == asdict(job)["depo"]["beta"]
    (file,) = output.rglob("*.wandb")
    assert str(tmp_path).encode() not in file.read_bytes()
    assert b"very-secret" not in b"".join(path.read_bytes() for path in output.rglob("wandb/**/*") if path.is_file())


@pytest.mark.parametrize(("kind", "directory"), [("csv", "."), ("tensorboard", "tensorboard")])
def test_other_backends_are_named_with_their_directory(tmp_path, kind, directory):
    with Tracker.start(kind, tmp_path):
        pass
    assert read_link(tmp_path) == {"kind": kind, "directory": directory}
    assert (tmp_path / directory).is_dir()


@pytest.mark.parametrize("how", ["none", "disabled", "broken"])
def test_the_link_of_an_earlier_run_does_not_stay(tmp_path, monkeypatch, how):
    (tmp_path / "tracking.json").write_text('{"kind": "wandb", "run_id": "old"}')
    monkeypatch.setenv("WANDB_MODE", "disabled")
    if how == "broken":
        monkeypatch.setattr("wandb.init", lambda **_: 1 / 0)
        with pytest.warns(UserWarning, match="ZeroDivisionError"):
            tracker = Tracker.start("wandb", tmp_path)
    else:
        tracker = Tracker.start("none" if how == "none" else "wandb", tmp_path)
    assert tracker.link == {}
    tracker.finish()
    assert not (tmp_path / "tracking.json").exists()


def test_a_job_without_a_trial_or_a_record_of_hydra_has_its_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert job_record(tmp_path / "out") == {"directory": "out"}
    assert read_link(tmp_path) == {}


@pytest.mark.parametrize(("file", "text"), [("trial.json", "{"), ("trial.json", "[]"), (".hydra/hydra.yaml", "a: [")])
def test_a_broken_file_is_told_and_ends_nothing(tmp_path, file, text):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.warns(UserWarning, match=path.name):
        assert job_record(tmp_path) == {"directory": local_name(tmp_path)}


def test_names_of_paths_tell_nothing_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_name("outputs/a/b") == "outputs/a/b"
    assert local_name(tmp_path / "store") == "store"
    assert local_name("/home/somebody/multirun/2026-01-31/12-00-00/7") == "2026-01-31/12-00-00/7"
    assert local_name("/out") == "out"


def test_a_link_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "tracking.json").mkdir()
    with pytest.warns(UserWarning, match="the run goes on"):
        tracker = Tracker.start("csv", tmp_path)
    tracker.log({"loss": 1.0}, 0, "bc")
