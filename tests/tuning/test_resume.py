"""A sweep that is killed, again and again, ends as an undisturbed one."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from pathlib import Path

from optuna.trial import TrialState
from tests.tuning.conftest import command, environment, load, records

TRIALS, KILLS = 16, 10


def run_to_the_end(directory: Path, log: Path) -> None:
    line = command(directory, f"hydra.sweeper.n_trials={TRIALS}")
    env = environment(STUB_LOG=str(log), STUB_SLEEP="0.1")
    subprocess.run(line, env=env, cwd=directory.parent, check=True, capture_output=True)


def test_killed_at_ten_random_moments(tmp_path: Path) -> None:
    """TPE, so that every trial depends on the ones before it and on the sampler's random numbers."""
    log, moments = tmp_path / "log", random.Random(0)
    line = command(tmp_path / "sweep", f"hydra.sweeper.n_trials={TRIALS}")
    env = environment(STUB_LOG=str(log), STUB_SLEEP="0.1")
    for kill in range(KILLS):
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(line, env=env, cwd=tmp_path, stdout=quiet, stderr=quiet)
        before = log.read_text().count("start") if log.exists() else 0
        while process.poll() is None and (not log.exists() or log.read_text().count("start") == before):
            time.sleep(0.005)  # until a trial has started in this attempt
        time.sleep(moments.uniform(0, 0.9) if kill % 3 else 0)  # some hit a running trial for certain
        assert process.poll() is None, "the sweep ended before it was killed often enough; give it more trials"
        process.kill()  # the process alone: what it started must end by itself
        process.wait()
    run_to_the_end(tmp_path / "sweep", log)

    undisturbed = tmp_path / "undisturbed" / "sweep"
    undisturbed.parent.mkdir()
    run_to_the_end(undisturbed, tmp_path / "log2")

    assert records(tmp_path / "sweep") == records(undisturbed)
    trials = load(tmp_path / "sweep").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS
    counts = Counter(log.read_text().split("\n"))
    assert [counts[f"end {n}"] for n in range(TRIALS)] == [1] * TRIALS
    assert sum(counts[f"start {n}"] for n in range(TRIALS)) > TRIALS  # the kills did hit running trials


def test_what_a_finished_job_left_is_used(tmp_path: Path) -> None:
    """Killed between a job's end and its trial's: the job is not run again."""
    log = tmp_path / "log"
    run_to_the_end(tmp_path / "sweep", log)
    study = load(tmp_path / "sweep")
    again = tmp_path / "again" / "sweep"
    again.parent.mkdir()
    unfinished(tmp_path / "sweep", again)
    run_to_the_end(again, log)
    assert Counter(log.read_text().split("\n"))[f"start {TRIALS - 1}"] == 1
    assert [trial.values for trial in load(again).trials] == [trial.values for trial in study.trials]


def unfinished(source: Path, target: Path) -> None:
    """A copy of a sweep in which the last trial was never told."""
    import json
    import shutil

    shutil.copytree(source, target)
    journal = target / "journal.log"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    last = max(entry["trial_id"] for entry in entries if "trial_id" in entry)
    told = [e for e in entries if not (e.get("trial_id") == last and "state" in e and e["op_code"] == 6)]
    assert len(told) == len(entries) - 1
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in told))
