from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from tests.browser import browser as browser

from depo_lightning.evaluation.episode_table import episode_table
from depo_lightning.evaluation.metrics import summarise
from depo_lightning.trajectory import Status, Step, Trajectory

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


def play(tasks: int, success: float, tokens: int, seed: int, crashed: tuple[int, ...] = ()) -> list[Trajectory]:
    """Episodes of a made-up policy: a task's own luck is the same for all policies."""
    rng, played = random.Random(seed), []
    for task in range(tasks):
        luck = random.Random(task).uniform(-0.3, 0.3)
        turns = tuple(Step("", "", "go", "go", rng.randint(tokens - 3, tokens + 3)) for _ in range(rng.randint(2, 6)))
        won = rng.random() < success + luck
        status = Status.CRASHED if task in crashed else Status.FINISHED
        played.append(Trajectory(f"{task}", "babyai", task, 0, "", turns, float(won), won, status))
    return played


def make_played_job(
    root: Path,
    job: int,
    overrides: list[str],
    seed: int = 0,
    success: float = 0.7,
    tokens: int = 20,
    tasks: int = 40,
    crashed: tuple[int, ...] = (),
    table: bool = True,
    trial: dict[str, Any] | None = None,
) -> Path:
    """A job's directory as a run leaves it, with episodes; its BC is that of every job with this seed."""
    path = make_job(root, job, overrides, None)
    episodes = {
        "bc": play(tasks, 0.6, 30, 100 + seed),
        "depo": play(tasks, success, tokens, 1000 * job + seed, crashed),
    }
    entries = {name: {"label": "", **summarise(played).to_json()} for name, played in episodes.items()}
    results = {"main": "depo", "seeds": {"training": seed}, "policies": entries}
    (path / "results.json").write_text(json.dumps(results))
    if table:
        (path / "episodes.csv").write_text(episode_table(episodes))
    if trial is not None:
        (path / "trial.json").write_text(json.dumps(trial))
    return path


def make_trial(number: int, state: str = "complete", **fields: Any) -> dict[str, Any]:
    """`trial.json` as the Optuna sweeper writes it."""
    base = {"study": "pareto", "trial": number, "state": state, "reason": "", "params": {}, "values": None}
    return {**base, "constraints": {}, "jobs": [number], "warm_start": None, **fields}


GRID = {  # α1, α2 → success, tokens; jobs 3 and 1 dominate 0, and 2 equals 3
    (0, 0): (0.71, 258.0),
    (0, 3): (0.74, 240.0),
    (3, 0): (0.72, 230.0),
    (3, 3): (0.72, 230.0),
}


@pytest.fixture(autouse=True)
def no_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit codes that one test leaves for the end of the process are not the next one's."""
    monkeypatch.setattr("depo_lightning.cli._failed_jobs", [])


@pytest.fixture
def job() -> Callable[..., Path]:
    return make_job


@pytest.fixture
def played() -> Callable[..., Path]:
    return make_played_job


@pytest.fixture
def trial() -> Callable[..., dict[str, Any]]:
    return make_trial


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """Three strengths with seeds 0, 1, 2 each; the last job of the last strength has not run yet."""
    root = tmp_path / "multirun" / "seeds"
    for job in range(9):
        alpha, seed = divmod(job, 3)
        line = [f"alpha1={alpha}", f"seed={seed}", "thresholds=relative"]
        if job == 8:
            make_job(root, job, line, None)
        else:
            make_played_job(root, job, line, seed, success=0.6 + 0.1 * alpha, tokens=30 - 5 * alpha)
    return root


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
