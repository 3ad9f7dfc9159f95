"""Wrong input gets one clear message, exit code 2 (1 for the machine's faults), no traceback, and loses nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from depo_lightning.store import Store

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nogroup=3"], ["nogroup"]),
        (["efficiency=none"], ["efficiency/none", "undesirable_penalty"]),
        (["thresholds=babyai", "thresholds.kappa1=0.95", "thresholds.kappa0=0.9"], ["kappa2 ≤ kappa1 ≤ kappa0"]),
        (["depo.beta=0", "depo.batch_size=1"], ["depo.beta=0", "depo.batch_size=1"]),
        (["env.levels=[GoToRedBal]"], ["GoToRedBal", "GoToRedBall"]),
        (["rollout.test_tasks=many"], ["rollout.test_tasks"]),
        (["+sweeps=nothing"], ["sweeps/nothing"]),
    ],
)
def test_wrong_configuration(arguments: list[str], words: list[str], run: Run, tmp_path: Path) -> None:
    told = run(*arguments, expect=2)
    assert "configuration error:" in told.stderr
    assert "Traceback" not in told.stderr + told.stdout
    for word in words:
        assert word in told.stderr
    assert not (tmp_path / "store" / "account.jsonl").exists()


def test_no_desirable_trajectory_after_labelling(run: Run, tmp_path: Path) -> None:
    told = run("thresholds=babyai", "thresholds.kappa0=1.0", "thresholds.kappa1=0.9", expect=2)
    assert "no desirable" in told.stderr
    assert "Traceback" not in told.stderr + told.stdout
    assert {entry["stage"] for entry in Store(tmp_path / "store").account()} == {"collect", "tokenizer"}


def test_a_corrupt_line_is_named(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    source.write_text('{"schema": 1}\nnot json\n')
    told = run(f"search.trajectories={source}", expect=2)
    assert f"{source}:1: field 'id' is missing" in told.stderr
    assert f"{source}:2: not JSON" in told.stderr
    assert "Traceback" not in told.stderr + told.stdout


def test_an_output_directory_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = run(f"hydra.run.dir={tmp_path / 'file' / 'out'}", expect=1)
    assert "machine error:" in told.stderr
    assert "Traceback" not in told.stderr + told.stdout


def test_a_failing_job_does_not_stop_the_sweep(run: Run, tmp_path: Path) -> None:
    told = run("-m", "depo.beta=0,0.2", "policies=[bc,depo]", "rollout.max_steps=1", expect=2)
    assert "depo.beta=0" in told.stderr
    assert "failed" in (tmp_path / "sweep" / "sweep.csv").read_text().splitlines()[1]
    assert "finished" in (tmp_path / "sweep" / "sweep.csv").read_text().splitlines()[2]


def test_a_sweep_into_an_old_directory_reports_what_happened_now(run: Run, tmp_path: Path) -> None:
    stale = tmp_path / "sweep" / "0"
    stale.mkdir(parents=True)
    (stale / "results.json").write_text("{}")
    run("-m", "depo.beta=0", expect=2)
    assert (tmp_path / "sweep" / "sweep.csv").read_text().splitlines()[1].startswith("0,failed")


def test_some_stages_and_a_report(run: Run, tmp_path: Path) -> None:
    run("policies=[bc]", "stages=[collect,bc,evaluate,report]", "rollout.max_steps=1")
    assert (tmp_path / "out" / "results.json").exists()
