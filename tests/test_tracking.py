"""Tracking: modes without a prompt, curves through every backend, and runs that outlive a broken tracker.

W&B's offline runs are read back from their own files.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from depo_lightning.curves import read_curves
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.tracking import Tracker, flat_results, lightning_logger, redacted, run_group
from depo_lightning.tracking_backends import has_wandb_key, wandb_mode

RESULTS = {
    "policies": {
        "bc": {
            "metrics": {"success_rate": {"mean": 0.75, "se": 0.025, "n": 300}},
            "counts": {"crashed": 0},
            "timing": {"seconds_per_episode": {"mean": 0.2, "se": None, "n": 1}},
            "difference_to_bc": None,
        },
        "depo": {
            "metrics": {
                "success_rate": {"mean": 0.8, "se": 0.02, "n": 300},
                "tokens_success": {"mean": None, "se": None, "n": 0},
            },
            "counts": {"crashed": 2},
            "timing": {},
            "difference_to_bc": {"success": {"mean": 0.05, "low": -0.01, "high": 0.11, "n": 298, "resolved": False}},
        },
    }
}
FLAT = {
    "bc/success_rate": 0.75,
    "bc/success_rate_se": 0.025,
    "bc/counts/crashed": 0,
    "bc/seconds_per_episode": 0.2,
    "depo/success_rate": 0.8,
    "depo/success_rate_se": 0.02,
    "depo/counts/crashed": 2,
    "depo/difference/success": 0.05,
    "depo/difference/success_low": -0.01,
    "depo/difference/success_high": 0.11,
}


@pytest.fixture(autouse=True)
def no_key(monkeypatch, tmp_path):
    """A machine without W&B credentials and without a way to reach it."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb_home"))


def wandb_records(root: Path) -> list[Any]:
    """Records of the offline run below `root`, once W&B's service, which writes them, has written the last."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        records = list(_parse(root))
        if any(record.HasField("exit") for record in records):
            return records
        time.sleep(0.05)
    raise AssertionError("the run's file never became complete")


def _parse(root: Path) -> Iterator[Any]:
    """LevelDB's log format, a protobuf message per record."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = root.glob("wandb/offline-run-*/run-*.wandb")
    data, position, parts = path.read_bytes(), 7, []  # after the file header
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # too little is left of the block for a header: padding
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        if position + 7 + length > len(data):
            return
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # a full record, or the last part of one
            record = Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


def wandb_items(root: Path, kind: str) -> dict[str, Any]:
    """Last values of the run's `history`, `summary` or `config` items."""
    found: dict[str, Any] = {}
    for record in wandb_records(root):
        if record.HasField(kind):
            part = getattr(record, kind)
            for item in part.item if kind == "history" else part.update:
                found[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return found


def curves_of(root: Path) -> list[dict[str, Any]]:
    histories = [record.history for record in wandb_records(root) if record.HasField("history")]
    return [{i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in h.item} for h in histories]


def test_wandb_offline_run_holds_config_curves_and_results(tmp_path, capfd):
    config = {"alpha1": 3.0, "teacher": {"api_key": "sk-very-secret"}}
    with Tracker.start("wandb", tmp_path, project="p", group="sweep-7", name="sweep-7-0", config=config) as tracker:
        for step in range(3):
            tracker.log({"loss": 1 / (step + 1), "note": "no number"}, step, "bc")
        tracker.log({"loss": 5.0}, 0, "depo")
        tracker.summarise(flat_results(RESULTS))
    curves = curves_of(tmp_path)
    assert [(c["bc/step"], c["bc/loss"]) for c in curves if "bc/loss" in c] == [
        (0, 1),
        (1, 0.5),
        (2, pytest.approx(1 / 3)),
    ]
    assert [(c["depo/step"], c["depo/loss"]) for c in curves if "depo/loss" in c] == [(0, 5)]
    axes = {(r.metric.glob_name, r.metric.step_metric) for r in wandb_records(tmp_path) if r.HasField("metric")}
    assert {("bc/*", "bc/step"), ("depo/*", "depo/step")} <= axes
    assert FLAT.items() <= wandb_items(tmp_path, "summary").items()
    (run,) = {r.run.run_id: r.run for r in wandb_records(tmp_path) if r.HasField("run")}.values()
    assert (run.run_group, run.display_name, run.project) == ("sweep-7", "sweep-7-0", "p")
    sent = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert sent["alpha1"] == 3
    assert sent["teacher"] == {"api_key": "***"}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"very-secret" not in written
    assert capfd.readouterr() == ("", "")


def test_wandb_sweep_summary_holds_table_plot_and_front(tmp_path):
    from depo_lightning.sweeps.report import write_report
    from depo_lightning.sweeps.summary_run import log_sweep_summary

    for job, (success, tokens) in enumerate([(0.7, 200.0), (0.8, 180.0), (0.6, 150.0)]):
        folder = tmp_path / "multirun" / "grid" / str(job)
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "overrides.yaml").write_text(f"- alpha1={job}\n")
        metrics = {k: {"mean": v, "se": 0.01, "n": 9} for k, v in (("success_rate", success), ("tokens_all", tokens))}
        (folder / "results.json").write_text(json.dumps({"main": "depo", "policies": {"depo": {"metrics": metrics}}}))
    report = write_report(tmp_path / "multirun" / "grid")
    log_sweep_summary(report, kind="wandb", project="p")
    root = report.directory / "summary"
    summary = wandb_items(root, "summary")
    assert summary["front/1/success_rate"] == 0.8
    assert summary["front/2/tokens_all"] == 150
    assert "front/0/success_rate" not in summary
    assert summary["hypervolume"] == pytest.approx(report.hypervolume)
    shown = {key for curve in curves_of(root) for key in curve}
    assert {"points/_type", "pareto/_type", "pareto front/_type"} <= shown
    (table,) = root.glob("wandb/offline-run-*/files/media/table/points*.json")
    content = json.loads(table.read_text())
    assert content["columns"][:3] == ["job", "alpha1", "success_rate"]
    assert [row[:3] for row in content["data"]] == [[0, 0, 0.7], [1, 1, 0.8], [2, 2, 0.6]]
    assert list(root.glob("wandb/offline-run-*/files/media/plotly/*.json"))
    assert list(root.glob("wandb/offline-run-*/files/media/images/*.png"))
    (run,) = {r.run.run_id: r.run for r in wandb_records(root) if r.HasField("run")}.values()
    assert (run.run_group, run.job_type) == ("multirun-grid", "sweep-summary")


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


def test_csv_curves_and_summary_are_replayed(tmp_path):
    with Tracker.start("csv", tmp_path / "a") as tracker:
        for step in range(30):
            tracker.log({"loss": 1 / (step + 1)}, step, "bc")
        tracker.log({"success": 0.5}, 30, "bc")
        tracker.summarise({"depo/success_rate": 0.8})
    written = tmp_path / "a" / "curves" / "bc" / "metrics.csv"
    points = list(read_curves(written))
    assert points[4] == (4, {"loss": pytest.approx(0.2)})
    assert points[-1] == (30, {"success": 0.5})
    assert (tmp_path / "a" / "summary.csv").read_text() == "metric,value\ndepo/success_rate,0.8\n"
    with Tracker.start("csv", tmp_path / "b") as tracker:
        tracker.replay("bc", written)
    assert list(read_curves(tmp_path / "b" / "curves" / "bc" / "metrics.csv")) == points


def test_curves_of_a_killed_writer_are_read_as_far_as_they_go(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss,step,z0\n0,0.5,0,\n0,nonsense,1,0.25\n0,0.2,2,0.\n0,0.1")
    assert list(read_curves(path)) == [
        (0, {"epoch": 0, "loss": 0.5}),
        (1, {"epoch": 0, "z0": 0.25}),
        (2, {"epoch": 0, "loss": 0.2, "z0": 0}),
    ]
    assert list(read_curves(tmp_path / "absent.csv")) == []


def test_tensorboard_holds_curves_and_results(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Tracker.start("tensorboard", tmp_path, config={"alpha1": 3.0}) as tracker:
        tracker.log({"loss": 0.25}, 7, "bc")
        tracker.table("points", ["job", "success"], [[0, 0.5]])
        tracker.summarise(flat_results(RESULTS))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("bc/loss")] == [(7, 0.25)]
    assert events.Scalars("results/depo/success_rate")[0].value == pytest.approx(0.8)


def test_lightning_logs_through_the_tracker(tmp_path):
    import pytorch_lightning as pl
    import torch

    class Line(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            self.log("loss", self.weight.sum() * index)
            return self.weight.sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.0)

    with Tracker.start("csv", tmp_path) as tracker:
        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=[lightning_logger(tracker, "bc")],
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Line(), torch.utils.data.DataLoader(torch.zeros(3)))
    points = read_curves(tmp_path / "curves" / "bc" / "metrics.csv")
    assert [(step, values["loss"]) for step, values in points] == [(0, 0), (1, 1), (2, 2)]


def test_results_become_flat_scalars():
    assert flat_results(RESULTS) == FLAT
    assert flat_results({}) == {}


def test_secrets_are_blanked_at_any_depth_and_nothing_else():
    config = {
        "teachers": [{"api_key": "x", "hf_token": "x", "max_new_tokens": 64}],
        "token_weight": 1.0,
        "password": None,
    }
    expected = {**config, "teachers": [{"api_key": "***", "hf_token": "***", "max_new_tokens": 64}]}
    assert redacted(config) == expected


def test_groups_are_named_after_the_sweep():
    assert run_group("multirun/2026-01-31/12-00-00") == "2026-01-31-12-00-00"


def test_none_writes_nothing(tmp_path):
    with Tracker.start("none", tmp_path / "out") as tracker:
        tracker.log({"loss": 1.0}, 0, "bc")
        tracker.image("figure", tmp_path / "absent.png")
    assert not (tmp_path / "out").exists()


def test_wrong_input(tmp_path):
    with pytest.raises(ConfigError, match="mlflow"):
        Tracker.start("mlflow", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError):
        Tracker.start("csv", tmp_path / "file" / "out")


def test_importing_tracking_is_light():
    code = "import sys, depo_lightning.tracking; print([m for m in ('torch', 'wandb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
