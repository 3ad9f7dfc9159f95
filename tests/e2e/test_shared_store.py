"""Two processes, one study, one store: every stage is computed once, every trial runs once."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from depo_lightning.store import Store

SWEEP = ("-m", "hydra/sweeper=depo_optuna", "hydra/sweeper/sampler=grid", "alpha1=0,3", "seed=0,1")


@pytest.mark.slow
def test_two_processes_share_a_study_and_a_store(
    start: Callable[..., subprocess.Popen[bytes]], run: Callable[..., object], tmp_path: Path
) -> None:
    both = [start(*SWEEP), start(*SWEEP)]
    assert [process.wait(timeout=900) for process in both] == [0, 0]
    account = Store(tmp_path / "store").account()
    computed = Counter((entry["stage"], entry["key"]) for entry in account if entry["event"] == "computed")
    assert set(computed.values()) == {1}
    stages = Counter(stage for stage, _ in computed)
    assert stages["collect"] == 1
    assert stages["bc"] == 2, "one for each seed"
    folders = sorted(path for path in (tmp_path / "sweep").iterdir() if path.name.isdigit())
    assert [path.name for path in folders] == ["0", "1", "2", "3"]
    records = [json.loads((path / "trial.json").read_text()) for path in folders]
    assert [(record["trial"], record["state"]) for record in records] == [
        (0, "complete"),
        (0, "complete"),
        (1, "complete"),
        (1, "complete"),
    ]
    run(*SWEEP)  # nothing is left to do, and the report is of the whole sweep
    points = json.loads((tmp_path / "sweep" / "pareto.json").read_text())["points"]
    assert [point["status"] for point in points] == ["finished", "finished"]  # two strengths, over both seeds
    assert Store(tmp_path / "store").account() == account
