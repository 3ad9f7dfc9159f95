"""Training through `run.py`: killed in the middle of an epoch, and shared out over two processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.e2e.conftest import ROOT, command, environment

from depo_lightning.curves import read_curves

pytestmark = pytest.mark.slow
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[bytes]]
TRAIN = ("stages=[collect,label,rephrase,bc,reference,depo]", "policies=[bc,depo]", "bc.epochs=2", "depo.epochs=2")
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.devices=2")
STAGES = ("bc", "depo")


def artifact(store: Path, stage: str) -> Path:
    (found,) = (store / stage).iterdir()
    return found


def weights(store: Path, stage: str) -> torch.Tensor:
    (path,) = artifact(store, stage).glob("*.safetensors")
    return torch.cat([value.flatten() for _, value in sorted(load_file(path).items())])


def kill_in(stage: str, steps: int, process: subprocess.Popen[bytes], store: Path) -> None:
    """Once the stage's training has a checkpoint of so many steps."""
    pattern = f".partial/{stage}-*/.progress/*/*.ckpt"
    while max((int(path.stem) for path in store.glob(pattern)), default=0) < steps:
        assert process.poll() is None, f"the run ended before {stage} was at step {steps}"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("devices", [(), TWO], ids=["one", "two"])
def test_killed_in_the_middle_of_an_epoch(devices: tuple[str, ...], run: Run, start: Start, tmp_path: Path) -> None:
    kept = (*TRAIN, *devices, "trainer.checkpoint_every=0")
    for stage, steps in (("bc", 3), ("bc", 5), ("depo", 2), ("depo", 6)):  # the last one after a validation
        kill_in(stage, steps, start(*kept), tmp_path / "store")
    assert "goes on after step" in run(*kept).stdout
    run(*TRAIN, *devices, f"store={tmp_path / 'fresh'}")
    for stage in STAGES:
        assert torch.equal(weights(tmp_path / "store", stage), weights(tmp_path / "fresh", stage))
        curves = [artifact(tmp_path / store, stage) / "metrics.csv" for store in ("store", "fresh")]
        assert curves[0].read_bytes() == curves[1].read_bytes()
        assert not (artifact(tmp_path / "store", stage) / ".progress").exists()


def test_two_processes_train_as_one(run: Run, tmp_path: Path) -> None:
    """Started by the first of them, and by torchrun; keys, curves and weights are those of one process."""
    run(*TRAIN)
    run(*TRAIN, *TWO, f"store={tmp_path / 'two'}")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    line = [*torchrun, *command(tmp_path, *TRAIN, *TWO, f"store={tmp_path / 'torchrun'}")[1:]]
    done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for stage in STAGES:
        alone = artifact(tmp_path / "store", stage)
        losses = [values["loss"] for _, values in read_curves(alone / "metrics.csv") if "loss" in values]
        for store in ("two", "torchrun"):
            shared = artifact(tmp_path / store, stage)
            assert shared.name == alone.name
            theirs = [values["loss"] for _, values in read_curves(shared / "metrics.csv") if "loss" in values]
            assert theirs == pytest.approx(losses, rel=1e-3)
            expected = weights(tmp_path / "store", stage)
            assert (weights(tmp_path / store, stage) - expected).norm() < 1e-2 * expected.norm()
