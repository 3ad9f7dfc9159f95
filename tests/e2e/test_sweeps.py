"""Every file of `sweeps/` as `python run.py -m +sweeps=NAME`, with a budget that fits a test and two seeds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from depo_lightning.store import Store

Run = Callable[..., subprocess.CompletedProcess[str]]
SWEEPS = sorted(path.stem for path in (Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
LABELS = {  # what the sweep searches itself, or the paper's labels where it searches those; they take more episodes
    "labels": ("thresholds=babyai,relative", "search.tasks=150"),
    "thresholds": ("thresholds=babyai", "search.tasks=150"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_runs(name: str, run: Run, tmp_path: Path) -> None:
    labels = LABELS.get(name, ("thresholds=relative",))
    small = ("seed=0,1", "hydra.sweeper.n_trials=2", "rollout.max_steps=1")
    done = run("-m", f"+sweeps={name}", *labels, *small)
    sweep = tmp_path / "sweep"
    pareto = json.loads((sweep / "pareto.json").read_text())
    assert len(pareto["points"]) == 2, done.stdout
    assert [len(point["jobs"]) for point in pareto["points"]] == [2, 2]
    assert "difference to BC" in done.stdout
    for file in ("sweep.csv", "configurations.csv", "sweep.md", "sweep.tex", "pareto.html", "pareto.png"):
        assert (sweep / file).stat().st_size > 0
    computed = [entry["stage"] for entry in Store(tmp_path / "store").account() if entry["event"] == "computed"]
    assert computed.count("collect") == 1
    assert computed.count("bc") == 2  # one for each seed


@pytest.mark.slow
def test_the_three_losses_are_compared_over_seeds(run: Run) -> None:
    done = run("-m", "+sweeps=undesirable_penalty", "seed=0,1", "rollout.max_steps=1")
    for form in ("depo", "undesirable_penalty", "kto"):
        assert form in done.stdout
    assert "difference between configurations" in done.stdout
    assert "crossed bootstrap" in done.stdout
