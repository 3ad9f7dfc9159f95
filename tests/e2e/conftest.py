"""Runs `run.py` as a user does, with a budget that fits a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = (
    "search.tasks=24",
    "search.workers=1",
    "model.hidden=32",
    "model.layers=1",
    "model.ff=32",
    "model.heads=2",
    "bc.epochs=1",
    "bc.max_trajectories=40",
    "filtered_bc.epochs=1",
    "filtered_bc.max_trajectories=16",
    "depo.epochs=1",
    "depo.batch_size=4",
    "thresholds.max_desirable=8",
    "thresholds.max_undesirable=8",
    "rollout.test_tasks=6",
    "rollout.validation_tasks=4",
    "rollout.max_steps=3",
    "rollout.max_new_tokens=16",
    "trainer.threads=1",
)
Run = Callable[..., subprocess.CompletedProcess[str]]


def command(tmp_path: Path, *arguments: str) -> list[str]:
    """The command line of a small run whose files all lie in `tmp_path`; later arguments win."""
    places = (
        f"store={tmp_path / 'store'}",
        f"hydra.run.dir={tmp_path / 'out'}",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )
    flags = [argument for argument in arguments if argument.startswith("-")]  # Hydra wants them before overrides
    rest = [argument for argument in arguments if not argument.startswith("-")]
    return [sys.executable, str(ROOT / "run.py"), *flags, *SMALL, "thresholds=relative", "logger=none", *places, *rest]


def environment() -> dict[str, str]:
    """Without keys, colours or a wide terminal."""
    hidden = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    return {**hidden, "NO_COLOR": "1", "COLUMNS": "100"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command and return what it printed; `expect` is the exit code that must come."""

    def call(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command(tmp_path, *arguments), capture_output=True, text=True, cwd=ROOT, env=environment(), check=False
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    return call


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start the command in a process group of its own, to be killed with all its children."""

    def call(*arguments: str) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        line = command(tmp_path, *arguments)
        return subprocess.Popen(line, cwd=ROOT, env=environment(), stdout=quiet, stderr=quiet, start_new_session=True)

    return call
