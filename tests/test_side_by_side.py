"""The launcher of a grid: jobs in processes of their own, in order, whoever fails, dies or is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import OmegaConf

from depo_lightning import side_by_side
from depo_lightning.errors import ConfigError
from depo_lightning.side_by_side import Grid, jobs_at_a_time

APP = """
import json, os, pathlib, signal, sys, time, hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from depo_lightning.cli import guarded, guarded_job
from depo_lightning.errors import ConfigError

def work(x, hydra_config, output):
    with open("log", "a") as log:
        log.write(f"start {x} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\\n")
    print("said by", x)
    if x == 2:
        raise ConfigError("x=2: is refused")
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60 if x == 9 else 0.3 * (x == 0))  # the first job ends after its successors
    with open("log", "a") as log:
        log.write(f"end {x}\\n")
    return {"success_rate": float(x), "number": hydra_config.job.num}

@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg):
    if cfg.x == 4:
        raise RuntimeError("boom")
    hydra_config = HydraConfig.get()
    output = pathlib.Path(hydra_config.runtime.output_dir)
    return guarded_job(lambda: work(cfg.x, hydra_config, output), str(output))

class Notes(Callback):
    def on_job_end(self, config, job_return, **kwargs):
        pathlib.Path(config.hydra.runtime.output_dir, "ended").touch()

    def on_multirun_end(self, config, **kwargs):
        pathlib.Path(config.hydra.sweep.dir, "complete").touch()

def prepare(configs):
    pathlib.Path("prepared").write_text(json.dumps([[config.x, config.where] for config in configs]))
    raise ConfigError("x=0: is not prepared")

if __name__ == "__main__":
    from hydra._internal.hydra import Hydra
    multirun = Hydra.multirun

    def noted(self, **arguments):
        returns = multirun(self, **arguments)
        flat = [[job.overrides, job.status.name, job.return_value] for batch in returns for job in batch]
        pathlib.Path("returns").write_text(json.dumps(flat))

    Hydra.multirun = noted
    sys.exit(guarded(main))
"""
CONFIG = """
defaults: [_self_, {override hydra/launcher: side_by_side}]
x: 0
where: ${hydra:runtime.output_dir}
hydra:
  launcher: {n_jobs: 2, preload: [hydra, omegaconf], prepare: null}
  sweep: {dir: sweep, subdir: "x${x}"}
  callbacks: {notes: {_target_: app.Notes}}
"""
Sweep = Callable[..., subprocess.CompletedProcess[str]]


def _environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    paths = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": paths, "NO_COLOR": "1", "COLUMNS": "200", "HYDRA_FULL_ERROR": "1", **more}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def sweep(app: Path) -> Sweep:
    def call(*arguments: str, expect: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "app.py", "-m", *arguments]
        done = subprocess.run(line, cwd=app, env=_environment(app, **more), capture_output=True, text=True, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return call


def _returns(folder: Path) -> list[list[Any]]:
    return json.loads((folder / "returns").read_text())


def _starts(folder: Path) -> list[list[str]]:
    return [line.split()[1:] for line in (folder / "log").read_text().splitlines() if line.startswith("start")]


def test_jobs_come_back_in_order_and_ran_in_processes_of_their_own(sweep: Sweep, app: Path) -> None:
    done = sweep("x=0,1,5")
    expected = [
        [[f"x={x}"], "COMPLETED", {"success_rate": float(x), "number": number}] for number, x in enumerate([0, 1, 5])
    ]
    assert _returns(app) == expected
    assert len({pid for _, pid, _ in _starts(app)}) == 3
    for x in (0, 1, 5):
        assert (app / "sweep" / f"x{x}" / "output.log").read_text() == f"said by {x}\n"
        assert (app / "sweep" / f"x{x}" / "ended").exists(), "callbacks of the job are called"
        assert f"x={x}  success_rate {x}" in done.stdout
    assert "said by" not in done.stdout
    assert (app / "sweep" / "complete").exists()


@pytest.mark.parametrize(("values", "code"), [("1,3", 1), ("1,2,3,5", 2)])
def test_failed_and_killed_jobs_leave_the_others_alone_and_decide_the_exit_code(
    values: str, code: int, sweep: Sweep, app: Path
) -> None:
    done = sweep(f"x={values}", expect=code)
    numbers = [value and value["success_rate"] for _, _, value in _returns(app)]
    assert numbers == [None if x in "23" else float(x) for x in values.split(",")]
    assert "killed by SIGKILL: out of memory?" in (app / "sweep" / "x3" / "error.txt").read_text()
    assert "killed by SIGKILL" in done.stderr
    assert ("x=2: is refused" in done.stderr) == (code == 2)
    assert (app / "sweep" / "complete").exists(), "the report is written"


def test_what_a_task_raises_reaches_the_sweeper_when_all_have_ended(sweep: Sweep, app: Path) -> None:
    done = sweep("x=4,1,5", expect=1)
    assert "RuntimeError: boom" in done.stderr
    assert "end 5" in (app / "log").read_text()


def test_one_at_a_time_is_hydras_own_launcher(sweep: Sweep, app: Path) -> None:
    done = sweep("x=0,1", "hydra.launcher.n_jobs=1")
    assert len({pid for _, pid, _ in _starts(app)}) == 1
    assert "said by 1" in done.stdout


def test_batches_go_on_counting(sweep: Sweep, app: Path) -> None:
    sweep("x=0,1,5,6", "hydra.sweeper.max_batch_size=2")
    assert [value["number"] for _, _, value in _returns(app)] == [0, 1, 2, 3]


@pytest.mark.parametrize("told", [None, "3"])
def test_the_cores_are_shared_out(told: str | None, sweep: Sweep, app: Path) -> None:
    sweep("x=0,1", **({} if told is None else {"OMP_NUM_THREADS": told}))
    threads = told or str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert {threads_told for _, _, threads_told in _starts(app)} == {threads}


def test_shared_work_is_done_first_and_its_failure_is_left_to_the_jobs(sweep: Sweep, app: Path) -> None:
    done = sweep("x=0,1,5", "hydra.launcher.prepare=app.prepare")
    sweep_dir = str(app / "sweep")
    assert json.loads((app / "prepared").read_text()) == [[0, sweep_dir], [5, sweep_dir]]
    assert "what the jobs share was not finished (ConfigError)" in done.stdout
    assert len(_returns(app)) == 3


def test_less_than_one_job_is_refused(sweep: Sweep, app: Path) -> None:
    assert (
        "hydra.launcher.n_jobs=0: must be at least 1, or null"
        in sweep("x=0,1", "hydra.launcher.n_jobs=0", expect=2).stderr
    )


@pytest.mark.parametrize(("blow", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_jobs_die_with_the_sweep(blow: signal.Signals, code: int, app: Path) -> None:
    line = [sys.executable, "app.py", "-m", "x=9,1,9,9"]
    process = subprocess.Popen(line, cwd=app, env=_environment(app), stdout=subprocess.DEVNULL, start_new_session=True)
    _wait_for(lambda: (app / "log").exists() and len(_starts(app)) == 3)
    process.send_signal(blow)
    assert process.wait(timeout=120) == code
    for _, pid, _ in _starts(app):
        _wait_for(lambda pid=pid: not Path(f"/proc/{pid}").exists())
    assert len(_starts(app)) == 3, "none was started any more"


def _wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


TINY = {"trainer": {"accelerator": "cpu", "threads": None}, "model": {"name": "tiny"}}


@pytest.mark.parametrize(
    ("told", "omp", "change", "expected"),
    [
        (None, None, {}, 8),
        (None, "2", {}, 4),
        (None, "16", {}, 1),
        (None, None, {"trainer": {"accelerator": "cpu", "threads": 4}}, 2),
        (None, None, {"trainer": {"accelerator": "gpu", "threads": None}}, 1),
        (None, None, {"model": {"name": "smollm2"}}, 1),
        (3, None, {"trainer": {"accelerator": "gpu", "threads": None}}, 3),
        (100, None, {}, 20),
    ],
)
def test_how_many_at_a_time(
    told: int | None, omp: str | None, change: dict[str, Any], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "machine_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if omp is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", omp)
    configs = [OmegaConf.create(TINY), OmegaConf.create({**TINY, **change})]
    monkeypatch.setattr(side_by_side, "compose_job", lambda context, config, number, overrides: configs[number > 0])
    grid = Grid(cast(Any, None), cast(Any, None), OmegaConf.create(), [[f"x={i}"] for i in range(20)], 0)
    assert jobs_at_a_time(told, grid) == expected
    assert jobs_at_a_time(told, Grid(cast(Any, None), cast(Any, None), OmegaConf.create(), [["x=0"]], 0)) == 1


def test_no_count_below_one() -> None:
    with pytest.raises(ConfigError, match="n_jobs=-1"):
        jobs_at_a_time(-1, Grid(cast(Any, None), cast(Any, None), OmegaConf.create(), [["x=0"]], 0))
