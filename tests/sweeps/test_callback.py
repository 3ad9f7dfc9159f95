"""The callback inside a real Hydra sweep."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from depo_lightning.sweeps.callback import SweepReport

APP = """
import json, pathlib, hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg):
    def estimate(mean):
        return {"mean": mean, "se": 0.01, "n": 100}
    def entry(success, tokens):
        metrics = {"success_rate": estimate(success), "tokens_all": estimate(tokens)}
        return {"label": "", "metrics": metrics, "counts": {}, "timing": {}, "difference_to_bc": None}
    if cfg.alpha1 == 2:
        return  # a job without results
    policies = {"bc": entry(0.7, 200.0), "depo": entry(0.7 + cfg.alpha1 / 100, 200.0 - cfg.alpha1)}
    output = pathlib.Path(HydraConfig.get().runtime.output_dir)
    (output / "results.json").write_text(json.dumps({"main": "depo", "policies": policies}))

main()
"""
CONFIG = """
alpha1: 0
logger: {kind: csv, project: p, entity: null, offline: false}
hydra:
  sweep: {dir: "sweep/${now:%H-%M-%S-%f}", subdir: "${hydra:job.num}"}
  callbacks:
    sweep_report: {_target_: depo_lightning.sweeps.callback.SweepReport, logger: "${logger}"}
"""


def test_a_sweep_ends_with_its_report(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "config.yaml").write_text(CONFIG)
    command = [sys.executable, "app.py", "-m", "alpha1=0,1,2,3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (root,) = (tmp_path / "sweep").iterdir()
    data = json.loads((root / "pareto.json").read_text())
    assert data["front"] == [3]
    assert [p["status"] for p in data["points"]] == ["finished", "finished", "missing", "finished"]
    assert {"sweep.csv", "sweep.md", "pareto.png", "pareto.html"} <= {p.name for p in root.iterdir()}
    assert "hypervolume," in (root / "summary" / "summary.csv").read_text()
    assert "3 of 4 jobs finished" in done.stdout.replace("\n", " ")
    assert "raised" not in done.stderr


class _Config:
    class hydra:
        class sweep:
            dir = "/nonexistent/sweep"


def test_a_failing_report_is_told_and_raises_nothing(capsys):
    SweepReport().on_multirun_end(_Config)
    assert "/nonexistent/sweep: no such directory" in capsys.readouterr().err


def test_importing_the_callback_is_light():
    heavy = ["torch", "matplotlib", "plotly", "wandb"]
    code = f"import sys, depo_lightning.sweeps.callback; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("logger", [None, {"kind": "none"}])
def test_no_logger_no_summary(sweep, logger, capsys):
    SweepReport(logger=logger)._report(sweep)
    assert not (sweep / "summary").exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("data error:\n  - no desirable trajectory\n", 2),
        ("configuration error:\n  - alpha1\n", 2),
        ("machine error:\n  - the disk is full\n", 1),
        ("Traceback (most recent call last):\n  ...\nKeyError: 1\n", 1),
        (None, 0),
    ],
)
def test_failures_in_other_processes_end_the_sweep_with_their_exit_code(sweep, text, code, monkeypatch):
    """`sweep` has a missing job, which is no failure, and a failed one."""
    codes = []
    monkeypatch.setattr("depo_lightning.sweeps.callback.fail_later", codes.append)
    if text is None:
        (sweep / "10" / "error.txt").unlink()
    else:
        (sweep / "10" / "error.txt").write_text(text)
    SweepReport()._report(sweep)
    assert max(codes, default=0) == code


def test_a_failed_trial_without_word_from_its_job_counts_and_a_pruned_one_does_not(sweep, trial, monkeypatch):
    codes = []
    monkeypatch.setattr("depo_lightning.sweeps.callback.fail_later", codes.append)
    (sweep / "10" / "error.txt").unlink()
    for state, expected in (("pruned", []), ("running", []), ("fail", [1])):
        (sweep / "4" / "trial.json").write_text(json.dumps(trial(4, state)))
        SweepReport()._report(sweep)
        assert codes == expected
