"""Processes that share a study, on every kind of storage."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest
from tests.tuning.conftest import Sweep, check_each_once, lines, load, start, wait_for

from depo_lightning.tuning.opening import open_storage

TRIALS = 6


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server that listens on a Unix socket in a directory of its own."""
    programs = [
        shutil.which(name) or next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
        for name in ("initdb", "pg_ctl")
    ]
    if None in programs:
        pytest.skip("no PostgreSQL server is installed")
    if not find_spec("psycopg"):
        pytest.skip("psycopg is not installed")
    initdb, pg_ctl = map(str, programs)
    home = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # a socket's path must be short
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "postgres"
        try:
            pwd.getpwnam(user)
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        shutil.chown(home, user)

    def call(*line: str) -> None:
        subprocess.run(line, user=user, cwd=home, check=True, stdout=subprocess.DEVNULL, timeout=60)

    call(initdb, "-D", f"{home}/data", "-A", "trust", "-U", "tester", "--no-sync")
    options = f"-k {home} -c listen_addresses='' -c fsync=off"
    call(pg_ctl, "-D", f"{home}/data", "-l", f"{home}/log", "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://tester@/postgres?host={home}"
    finally:
        call(pg_ctl, "-D", f"{home}/data", "-m", "immediate", "stop")
        shutil.rmtree(home)


@pytest.fixture(params=["journal", "sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """A storage's URL; None is the journal in the sweep's directory."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres")
    return f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else None


def options(name: str, storage: str | None) -> list[str]:
    given = [f"hydra.sweeper.storage='{storage}'"] if storage else []
    return [f"hydra.sweeper.study_name={name}", f"hydra.sweeper.n_trials={TRIALS}", *given]


def test_two_processes_share_a_study(storage: str | None, tmp_path: Path) -> None:
    directory = tmp_path / "sweep"
    both = [start(directory, *options("shared", storage), STUB_SLEEP="0.5") for _ in range(2)]
    for process in both:
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0, printed
    study = optuna.load_study(study_name="shared", storage=open_storage(storage, directory))
    check_each_once(study, directory, TRIALS)
    assert len({trial.user_attrs["worker"] for trial in study.trials}) == 2


def test_the_other_process_takes_over(storage: str | None, tmp_path: Path) -> None:
    directory = tmp_path / "sweep"
    first = start(directory, *options("killed", storage), STUB_SLEEP="100")
    wait_for(lambda: lines(directory)["start 0"] == 1)
    second = start(directory, *options("killed", storage), STUB_SLEEP="0.2")
    wait_for(lambda: lines(directory)["start 1"] == 1)
    first.kill()  # SIGKILL, the process alone: its job must end with it
    first.communicate()
    printed, _ = second.communicate(timeout=90)
    assert second.returncode == 0, printed
    assert "(resumed)" in printed
    study = optuna.load_study(study_name="killed", storage=open_storage(storage, directory))
    check_each_once(study, directory, TRIALS, restarts=1)
    assert lines(directory)["start 0"] == 2


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://user:secret@127.0.0.1:1/x", "postgresql+psycopg://user:***@127.0.0.1:1/x"),
        ("sqlite:////nowhere/secret/study.db", "unable to open database file"),
        ("nonsense", "Could not parse"),
    ],
)
def test_an_unreachable_storage_is_one_message(url: str, shown: str, sweep: Sweep, tmp_path: Path) -> None:
    if "psycopg" in url and not find_spec("psycopg"):
        pytest.skip("psycopg is not installed")
    began = time.monotonic()
    done = sweep(f"hydra.sweeper.storage='{url}'", "hydra.sweeper.n_trials=2", expect=2)
    assert time.monotonic() - began < 60
    assert done.stderr.startswith("configuration error:\n  - hydra.sweeper.storage=")
    assert done.stderr.count("  - ") == 1
    assert shown in done.stderr
    assert "Traceback" not in done.stderr
    if "user:" in url:
        assert "secret" not in done.stdout + done.stderr
    assert not lines(tmp_path / "sweep")


def test_the_dashboard_opens_a_running_sweep(sweep: Sweep, tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    sweep("hydra.sweeper.n_trials=3")
    answers: list[str] = []
    request = {
        "REQUEST_METHOD": "GET",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }
    app = dashboard.wsgi(open_storage(None, tmp_path / "sweep"))

    def get(path: str) -> dict[str, list[dict[str, object]]]:
        parts = app({**request, "PATH_INFO": path}, lambda status, headers, info=None: answers.append(status))
        return json.loads(b"".join(parts))

    (summary,) = get("/api/studies")["study_summaries"]
    assert summary["study_name"] == "study"
    detail = get(f"/api/studies/{summary['study_id']}")
    assert [trial["state"] for trial in detail["trials"]] == ["Complete"] * 3
    assert detail["objective_names"] == ["f1", "f2"]
    assert all(answer.startswith("200") for answer in answers)
    assert len(load(tmp_path / "sweep").trials) == 3
