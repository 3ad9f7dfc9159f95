"""A grid whose jobs run side by side: the results of separate runs, whichever job fails or is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from depo_lightning.store import Store

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[bytes]]
JOBS = ("policies=[bc,depo]", "rollout.max_steps=1")
GRID = ("-m", *JOBS, "hydra.launcher.n_jobs=2")
TIMES = {"timing", "seconds_per_episode"}


def results(directory: Path) -> Any:
    """What a run has found, without what clocks measured."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: timeless(item) for name, item in value.items() if name not in TIMES}
        return [timeless(item) for item in value] if isinstance(value, list) else value

    return timeless(json.loads((directory / "results.json").read_text()))


def computed(tmp_path: Path) -> Counter[tuple[str, str]]:
    account = Store(tmp_path / "store").account()
    return Counter((entry["stage"], entry["key"]) for entry in account if entry["event"] == "computed")


@pytest.mark.slow
def test_equal_to_the_bit_to_separate_runs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = run(*GRID, "alpha1=0,3", "alpha2=2")
    assert done.stdout.count("tree search") == 1, "shared stages show on the terminal"
    assert set(computed(tmp_path).values()) == {1}
    for number, alpha1 in enumerate((0, 3)):
        separate = tmp_path / f"alone{number}"
        run(*JOBS, f"alpha1={alpha1}", "alpha2=2", f"store={tmp_path / 'other'}", f"hydra.run.dir={separate}")
        job = tmp_path / "sweep" / str(number)
        assert results(job) == results(separate)
        for weights in sorted(separate.glob("policies/*/*.safetensors")):
            assert (job / weights.relative_to(separate)).read_bytes() == weights.read_bytes()
        assert "preference training" in (job / "output.log").read_text()


def test_a_job_is_refused_and_another_killed_then_the_sweep_is_killed_and_goes_on(
    run: Run, start: Start, tmp_path: Path
) -> None:
    grid = (*GRID, "alpha1=0,1,2,3", "depo.beta=0.2,-1", "depo.epochs=20")
    process = start(*grid)
    job = _job_in(tmp_path, process, "depo")
    os.kill(job, signal.SIGKILL)

    def killed_jobs() -> list[Path]:
        markers = tmp_path.glob("sweep/*/error.txt")
        return [marker for marker in markers if "killed by SIGKILL" in marker.read_text()]

    _wait_for(lambda: bool(killed_jobs()), process)
    (killed,) = killed_jobs()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    done = run(*grid, expect=2)
    assert "depo.beta=-1" in done.stderr
    assert not killed.exists(), "what a killed job left is forgotten once it ends well"
    assert "4 of 8 jobs finished" in " ".join(done.stdout.split())
    assert set(computed(tmp_path).values()) == {1}
    assert sum(stage == "depo" for stage, _ in computed(tmp_path)) == 4


def _job_in(tmp_path: Path, process: subprocess.Popen[bytes], stage: str) -> int:
    """Process id of a job, once that stage is being computed."""
    _wait_for(lambda: bool(list((tmp_path / "store" / ".partial").glob(f"{stage}-*"))), process)
    jobs = [child for server in _children(process.pid) for child in _children(server) if os.getsid(child) == child]
    return jobs[0]


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return sorted(found)


def _wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and not what():
        time.sleep(0.005)
    assert process.poll() is None, "the sweep ended too soon"
