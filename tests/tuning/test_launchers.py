"""Workers wherever Hydra's launchers start them: every trial once, whoever is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from tests.tuning.conftest import Sweep, check_each_once, environment, lines, load, start, wait_for

from depo_lightning.cli import guarded
from depo_lightning.config import register
from depo_lightning.errors import MachineError
from depo_lightning.tuning.launching import _in_threads
from depo_lightning.tuning.worker import Worker

CONF = Path(__file__).parents[2] / "conf"
PLUGINS = {"joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher", "ray": "hydra_ray_launcher"}
PRESETS = {"processes": "joblib", "slurm": "submitit_local", "ray_local": "ray", "ray_cluster": "ray"}
EXTRAS = {"joblib": "joblib", "submitit_slurm": "slurm", "submitit_local": "slurm", "ray": "ray"}


def needs(launcher: str) -> None:
    if not find_spec(f"hydra_plugins.{PLUGINS[launcher]}"):
        pytest.skip(f"{PLUGINS[launcher]} is not installed")


@pytest.mark.parametrize(
    ("launcher", "workers"),
    [
        ("basic", "hydra.sweeper.workers=3"),
        ("joblib", "hydra.launcher.n_jobs=2"),
        ("submitit_local", "hydra.sweeper.workers=2"),
        pytest.param("ray", "hydra.sweeper.workers=2", marks=pytest.mark.slow),
    ],
)
def test_every_trial_runs_once(launcher: str, workers: str, sweep: Sweep, tmp_path: Path) -> None:
    if launcher != "basic":
        needs(launcher)
    own = ["hydra.launcher.ray.init.address=local"] if launcher == "ray" else []  # not a cluster that happens to be up
    sweep(f"hydra/launcher={launcher}", workers, "hydra.sweeper.n_trials=7", *own, STUB_SLEEP="0.1")
    study = load(tmp_path / "sweep")
    check_each_once(study, tmp_path / "sweep", 7)
    assert len({trial.user_attrs["worker"] for trial in study.trials}) > 1, "one worker did all the work"


def test_a_launcher_that_does_not_say_how_many(sweep: Sweep, tmp_path: Path) -> None:
    needs("submitit_local")
    done = sweep("hydra/launcher=submitit_local", "hydra.sweeper.n_trials=2", expect=2)
    assert "hydra.sweeper.workers=null: say how many workers" in done.stderr
    assert not (tmp_path / "sweep").exists()


def test_several_workers_without_processes_are_refused(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep("hydra.sweeper.workers=3", "hydra.sweeper.isolate=false", expect=2)
    assert "hydra.sweeper.isolate=false: 3 workers" in done.stderr
    assert not (tmp_path / "sweep").exists()


def test_what_ends_a_worker_in_a_thread_ends_the_sweep() -> None:
    def worker() -> None:
        raise MachineError("the storage is gone")

    with pytest.raises(MachineError, match="storage is gone"):
        _in_threads(cast("Worker", worker), 3)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker through /proc")
@pytest.mark.parametrize(
    ("launcher", "program"),
    [("joblib", "popen_loky"), pytest.param("submitit_local", "submitit.core", marks=pytest.mark.slow)],
)
def test_a_killed_worker_is_made_up_for(launcher: str, program: str, tmp_path: Path) -> None:
    needs(launcher)
    options = (f"hydra/launcher={launcher}", "hydra.sweeper.workers=2", "hydra.sweeper.n_trials=6")
    process = start(tmp_path / "sweep", *options, STUB_SLEEP="0.5")
    wait_for(lambda: sum(lines(tmp_path / "sweep").values()) >= 2)
    workers = [pid for pid in descendants(process.pid) if program in command_line(pid)]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert "a worker was lost" in printed
    check_each_once(load(tmp_path / "sweep"), tmp_path / "sweep", 6, restarts=2)


def descendants(pid: int) -> list[int]:
    children = [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.mark.skipif(shutil.which("srun") is not None, reason="there is a Slurm here")
def test_a_launcher_that_cannot_launch_is_one_message(sweep: Sweep) -> None:
    needs("submitit_local")
    done = sweep("hydra/launcher=submitit_slurm", "hydra.sweeper.workers=2", expect=1)
    assert done.stderr.startswith("machine error:\n  - the launcher's workers cannot run: ")
    assert "srun" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sweeper", ["basic", "depo_optuna"])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_plugin_with_other_values(preset: str, sweeper: str) -> None:
    needs(PRESETS[preset])
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [f"hydra/launcher={preset}", f"hydra/sweeper={sweeper}"]
        launcher = compose("config", overrides=overrides, return_hydra_config=True).hydra.launcher
    assert PLUGINS[PRESETS[preset]] in launcher._target_


def test_every_preset_is_known() -> None:
    assert {path.stem for path in (CONF / "hydra" / "launcher").iterdir()} == set(PRESETS)


@pytest.mark.parametrize("plugin", EXTRAS)
def test_a_missing_plugin_is_one_message(
    plugin: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register()

    def main() -> None:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{plugin}.yaml", raising=False)
            compose("config", overrides=[f"hydra/launcher={plugin}"], return_hydra_config=True)

    assert guarded(main) == 2
    message = f'hydra/launcher: {plugin} is not installed; run pip install -e ".[{EXTRAS[plugin]}]"'
    assert capsys.readouterr().err == f"configuration error:\n  - {message}\n"


GRID_APP = """
import json, pathlib, sys, hydra
from hydra.core.hydra_config import HydraConfig
from depo_lightning.cli import guarded, guarded_job
from depo_lightning.errors import ConfigError

def job(alpha1, output):
    if alpha1 == 1:
        raise ConfigError("alpha1=1: is refused")
    if alpha1 == 2:
        raise RuntimeError("boom")
    metrics = {name: {"mean": 1.0 + alpha1, "se": 0.1, "n": 9} for name in ("success_rate", "tokens_all")}
    entry = {"label": "", "metrics": metrics, "counts": {}, "timing": {}, "difference_to_bc": None}
    (output / "results.json").write_text(json.dumps({"main": "depo", "policies": {"bc": entry, "depo": entry}}))

@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg):
    output = pathlib.Path(HydraConfig.get().runtime.output_dir)
    return guarded_job(lambda: job(cfg.alpha1, output), str(output))

sys.exit(guarded(main))
"""
GRID_CONFIG = """
alpha1: 0
hydra:
  sweep: {dir: sweep, subdir: "${hydra:job.num}"}
  callbacks: {sweep_report: {_target_: depo_lightning.sweeps.callback.SweepReport}}
"""


@pytest.mark.parametrize(("alphas", "code"), [("0,2", 1), ("0,1,2,3", 2)])
def test_a_grid_under_joblib_ends_with_its_worst_job(alphas: str, code: int, tmp_path: Path) -> None:
    """The jobs' failures stay in joblib's processes: the report finds them in the jobs' directories."""
    needs("joblib")
    (tmp_path / "app.py").write_text(GRID_APP)
    (tmp_path / "config.yaml").write_text(GRID_CONFIG)
    line = [sys.executable, "app.py", "-m", f"alpha1={alphas}", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    count = alphas.count(",") + 1
    finished = count - sum(alpha in alphas.split(",") for alpha in ("1", "2"))
    assert f"{finished} of {count} jobs finished" in " ".join(done.stdout.split())
    assert ("is refused" in (tmp_path / "sweep" / "sweep.md").read_text()) == ("1" in alphas.split(","))
