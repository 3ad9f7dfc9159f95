"""A Hydra application with an analytic problem as its task, swept by `hydra/sweeper=depo_optuna` as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

APP = Path(__file__).with_name("stub_app.py")
Sweep = Callable[..., subprocess.CompletedProcess[str]]


def command(directory: Path, *arguments: str, problem: str = "zdt1") -> list[str]:
    """A sweep of the stub application into `directory`; later arguments win."""
    variables = {"zdt1": 2, "zdt2": 2, "dtlz2": 3}[problem]
    return [
        sys.executable,
        str(APP),
        "-m",
        "hydra/sweeper=depo_optuna",
        f"hydra.sweep.dir={directory}",
        "hydra.sweeper.metrics=null",
        "hydra.sweeper.objectives={f1: minimize, f2: minimize}",
        "hydra.sweeper.preload=[hydra, omegaconf]",
        f"+problem={problem}",
        *(f"+x{i}=interval(0,1)" for i in range(variables)),
        *arguments,
    ]


def environment(**values: str) -> dict[str, str]:
    """Plain output, errors in Hydra's full wording."""
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "HYDRA_FULL_ERROR": "1", **values}


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """Run the command in `tmp_path/sweep`; `expect` is the exit code that must come."""

    def call(*arguments: str, expect: int = 0, problem: str = "zdt1", **env: str) -> subprocess.CompletedProcess[str]:
        line = command(tmp_path / "sweep", *arguments, problem=problem)
        env = environment(STUB_LOG=str(tmp_path / "log"), **env)
        done = subprocess.run(line, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return call


def load(directory: Path, name: str = "study") -> optuna.Study:
    """The study of a sweep's directory."""
    from depo_lightning.tuning.opening import open_storage

    return optuna.load_study(study_name=name, storage=open_storage(None, directory))


def records(directory: Path) -> list[dict[str, Any]]:
    """`trial.json` of every job, in order of job number."""
    folders = sorted((p for p in directory.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    return [json.loads((folder / "trial.json").read_text()) for folder in folders]


def start(directory: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start the sweep and do not wait; what it prints can be read when it has ended."""
    return subprocess.Popen(
        command(directory, *arguments),
        env=environment(STUB_LOG=str(directory.with_name("log")), **env),
        cwd=directory.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def lines(directory: Path) -> Counter[str]:
    """What the jobs of a sweep noted: how often each started and ended."""
    path = directory.with_name("log")
    return Counter(path.read_text().splitlines() if path.exists() else ())


def check_each_once(study: optuna.Study, directory: Path, count: int, *, restarts: int = 0) -> None:
    """All trials are complete, each in its own directory, none ran twice but for those that were killed."""
    assert [trial.number for trial in study.trials] == list(range(count))
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}
    assert [record["trial"] for record in records(directory)] == list(range(count))
    assert [record["state"] for record in records(directory)] == ["complete"] * count
    noted = lines(directory)
    assert [noted[f"end {n}"] for n in range(count)] == [1] * count
    starts = sum(times for line, times in noted.items() if line.startswith("start"))
    assert count <= starts <= count + restarts
