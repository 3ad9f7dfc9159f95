from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

BASELINES = {"bc": (0.75, 219.0), "filtered_bc": (0.81, 66.0), "kto": (0.71, 258.0)}


def entry(success: float | None, tokens: float | None) -> dict[str, Any]:
    def estimate(mean: float | None, se: float) -> dict[str, Any]:
        return {"mean": mean, "se": None if mean is None else se, "n": 0 if mean is None else 300}

    metrics = {"success_rate": estimate(success, 0.025), "tokens_all": estimate(tokens, 6.0)}
    metrics["steps_all"] = estimate(tokens and tokens / 40, 0.1)
    timing = {"seconds_per_episode": estimate(0.2, 0.01)}
    return {"label": "", "metrics": metrics, "counts": {"crashed": 0}, "timing": timing, "difference_to_bc": None}


def make_job(root: Path, job: int, overrides: list[str], measured: tuple[float | None, float | None] | None) -> Path:
    """A job's directory as Hydra and a run leave it; without `measured`, as a job leaves it that did not finish."""
    path = root / str(job)
    (path / ".hydra").mkdir(parents=True)
    OmegaConf.save(overrides, path / ".hydra" / "overrides.yaml")
    OmegaConf.save({"hydra": {"job": {"num": job}}}, path / ".hydra" / "hydra.yaml")
    if measured is not None:
        policies = {**{name: entry(*place) for name, place in BASELINES.items()}, "depo": entry(*measured)}
        results = {"main": "depo", "policies": policies, "timing": {"seconds_per_stage": {"bc": 123.4}}}
        (path / "results.json").write_text(json.dumps(results))
    return path


GRID = {  # α1, α2 → success, tokens; jobs 3 and 1 dominate 0, and 2 equals 3
    (0, 0): (0.71, 258.0),
    (0, 3): (0.74, 240.0),
    (3, 0): (0.72, 230.0),
    (3, 3): (0.72, 230.0),
}


@pytest.fixture
def job() -> Callable[..., Path]:
    return make_job


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Six jobs: four finished, one failed, one that never wrote results."""
    root = tmp_path / "multirun" / "grid"
    for number, ((alpha1, alpha2), measured) in enumerate(GRID.items()):
        make_job(root, number, [f"alpha1={alpha1}", f"alpha2={alpha2}", "thresholds=relative"], measured)
    make_job(root, 4, ["alpha1=5", "alpha2=0", "thresholds=relative"], None)
    failed = make_job(root, 10, ["alpha1=5", "alpha2=5", "thresholds=relative"], None)
    (failed / "error.txt").write_text("data error:\n  - no desirable trajectory; lower kappa0\n")
    return root
