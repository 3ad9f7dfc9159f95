"""The tracker: curves and results through every backend but W&B, and what is kept out of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from depo_lightning.curves import read_curves
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.tracking import Tracker, flat_results, lightning_logger, redacted, run_group

FLAT = {
    "bc/success_rate": 0.75,
    "bc/success_rate_se": 0.025,
    "bc/counts/crashed": 0,
    "bc/seconds_per_episode": 0.2,
    "depo/success_rate": 0.8,
    "depo/success_rate_se": 0.02,
    "success_rate": 0.8,
    "success_rate_se": 0.02,
    "depo/counts/crashed": 2,
    "depo/difference/success": 0.05,
    "depo/difference/success_low": -0.01,
    "depo/difference/success_high": 0.11,
}


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


def test_tensorboard_holds_curves_and_results(tmp_path, results):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Tracker.start("tensorboard", tmp_path, config={"alpha1": 3.0}) as tracker:
        tracker.log({"loss": 0.25}, 7, "bc")
        tracker.table("points", ["job", "success"], [[0, 0.5]])
        tracker.summarise(flat_results(results))
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


def test_results_become_flat_scalars_and_the_main_policy_has_plain_names(results):
    assert flat_results(results) == FLAT
    other = flat_results({**results, "main": "bc"})
    assert (other["success_rate"], other["seconds_per_episode"]) == (0.75, 0.2)
    assert flat_results({}) == {}


def test_secrets_are_blanked_at_any_depth_and_nothing_else():
    config = {
        "teachers": [{"api_key": "x", "hf_token": "x", "max_new_tokens": 64}],
        "token_weight": 1.0,
        "password": None,
        "trial": {"params": {"teacher.api_key": "x", "teacher.token": "x", "teacher.max_new_tokens": 64}},
    }
    expected = {
        **config,
        "teachers": [{"api_key": "***", "hf_token": "***", "max_new_tokens": 64}],
        "trial": {"params": {"teacher.api_key": "***", "teacher.token": "***", "teacher.max_new_tokens": 64}},
    }
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
