"""A task for the sweeper's tests: two-objective test problems (ZDT1, ZDT2, DTLZ2), and ways to fail."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from depo_lightning.cli import guarded


def evaluate(problem: str, x: Sequence[float]) -> tuple[float, float]:
    """Zitzler, Deb and Thiele 2000 (ZDT1, ZDT2); Deb et al. 2002 (DTLZ2); x in [0, 1]."""
    if problem == "dtlz2":
        g = sum((value - 0.5) ** 2 for value in x[1:])
        return (1 + g) * math.cos(x[0] * math.pi / 2), (1 + g) * math.sin(x[0] * math.pi / 2)
    g = 1 + 9 * sum(x[1:]) / (len(x) - 1)
    ratio = x[0] / g
    return x[0], g * (1 - (math.sqrt(ratio) if problem == "zdt1" else ratio**2))


def fail(kind: str) -> Any:
    """One way in which a task goes wrong."""
    if kind == "raise":
        raise RuntimeError("boom")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        os._exit(7)
    if kind == "prune":
        from optuna import TrialPruned

        raise TrialPruned("too slow")
    if kind == "input":
        from depo_lightning.errors import ConfigError

        raise ConfigError("alpha1=-1: must be 0 or more")
    return {
        "NaN": {"f1": math.nan, "f2": 1.0},
        "length": [1.0, 2.0, 3.0],
        "nothing": None,
        "name": {"f1": 1.0, "other": 2.0},
        "text": "well",
    }[kind]


@hydra.main(version_base="1.3", config_path=None)
def main(cfg: DictConfig) -> Any:
    """Return the objectives; note start and end in the file that STUB_LOG names."""
    number = HydraConfig.get().job.num
    note(f"start {number}")
    time.sleep(float(os.environ.get("STUB_SLEEP", "0")))
    x = [cfg[name] for name in sorted(name for name in cfg if str(name).startswith("x"))]
    f1, f2 = evaluate(cfg.problem, x)
    wrong = cfg.get("wrong", "no")
    result = {"f1": f1 + 0.01 * cfg.get("seed", 0), "f2": f2, "bc/f1": 0.4, "bc/f1_se": 0.05}
    result = result if wrong == "no" else fail(wrong)
    note(f"end {number}")
    return result


def note(text: str) -> None:
    if path := os.environ.get("STUB_LOG"):
        with Path(path).open("a") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    sys.exit(guarded(main))
