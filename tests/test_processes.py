"""What a job takes of the machine, and what joblib leaves behind in its processes."""

from __future__ import annotations

import multiprocessing
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from depo_lightning.processes import cores


@pytest.mark.parametrize(("told", "count"), [("3", 3), ("1", 1)])
def test_threads_are_those_that_were_told(told: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert cores() == count


@pytest.mark.parametrize("told", [None, "", "0", "-1", "4,2"])
def test_else_the_cores_that_the_process_may_use(told: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6}, raising=False)
    assert cores() == 3


CODE = """
import multiprocessing
from joblib import Parallel, delayed

def job():
    from depo_lightning.processes import forget_launcher
    forget_launcher()
    child = multiprocessing.get_context("spawn").Process(target=print)
    child.start()
    child.join()
    return child.exitcode

if __name__ == "__main__":
    print("codes", *Parallel(n_jobs=2)(delayed(job)() for _ in range(2)))
"""


def test_a_job_of_joblib_can_start_processes(tmp_path: Path) -> None:
    """Without `forget_launcher` the codes are 1."""
    pytest.importorskip("joblib")
    script = tmp_path / "script.py"
    script.write_text(CODE)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "codes 0 0"


def test_an_ordinary_process_is_left_alone() -> None:
    from depo_lightning.processes import forget_launcher

    before = multiprocessing.get_start_method(allow_none=True)
    forget_launcher()
    assert multiprocessing.get_start_method(allow_none=True) == before


HELD = """
import sys
import numpy as np
from depo_lightning.processes import give_back_large_blocks

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

if sys.argv[1] == "given back":
    give_back_large_blocks()
for size in (20, 10):  # MiB; the first teaches malloc that such blocks come and go
    blocks, between = [], []
    for _ in range(20):
        blocks.append(np.ones(size << 17))
        between.append(np.ones(1 << 10))
    before = resident()
    blocks.clear()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_large_blocks_are_given_back() -> None:
    given = {
        manner: int(subprocess.run([sys.executable, "-c", HELD, manner], capture_output=True, check=True).stdout)
        for manner in ("given back", "kept")
    }
    assert given["given back"] > 190  # of 200 MiB
    assert given["kept"] < 100
