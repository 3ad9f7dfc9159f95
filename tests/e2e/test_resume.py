"""A sweep killed at any moment and started again ends as an undisturbed one, and repeats nothing that was finished."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from depo_lightning.store import Store

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[bytes]]
SWEEP = ("-m", "alpha1=0,3", "policies=[bc,depo]", "rollout.max_steps=1")
MOMENTS = ("bc", "depo", "evaluate")  # killed once while each of these is being computed for the first time


def kill_during(stage: str, start: Start, tmp_path: Path) -> None:
    process = start(*SWEEP)
    partial = tmp_path / "store" / ".partial"
    while process.poll() is None and not list(partial.glob(f"{stage}-*")):
        time.sleep(0.005)
    assert process.poll() is None, f"the sweep ended before {stage} was seen"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_and_started_again(run: Run, start: Start, tmp_path: Path) -> None:
    for stage in MOMENTS:
        kill_during(stage, start, tmp_path)
    run(*SWEEP)
    interrupted = (tmp_path / "sweep" / "sweep.csv").read_text()
    account = Store(tmp_path / "store").account()
    computed = Counter((entry["stage"], entry["key"]) for entry in account if entry["event"] == "computed")
    assert set(computed.values()) == {1}
    assert sum(stage == "depo" for stage, _ in computed) == 2

    run(*SWEEP, f"store={tmp_path / 'fresh'}", f"hydra.sweep.dir={tmp_path / 'undisturbed'}")
    assert (tmp_path / "undisturbed" / "sweep.csv").read_text() == interrupted
