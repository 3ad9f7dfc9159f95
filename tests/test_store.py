"""The store: computed once, published whole or not at all, and able to say why."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from depo_lightning.errors import DataError, MachineError
from depo_lightning.store import PROGRESS, Stage, Store


def stage(config: dict, compute: Callable | None = None, **kwargs) -> Stage:
    def write(target: Path, inputs: dict[str, Path]) -> None:
        (target / "result.txt").write_text(json.dumps(config))

    return Stage("double", kwargs.pop("version", 1), config, compute or write, **kwargs)


def test_a_stage_is_computed_once_and_then_reused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = store.get(stage({"x": 1})), store.get(stage({"x": 1}))
    assert (first.reused, second.reused) == (False, True)
    assert (second.path / "result.txt").read_text() == '{"x": 1}'
    assert [(e["stage"], e["event"]) for e in store.account()] == [("double", "computed"), ("double", "reused")]


def test_key_depends_on_config_version_and_inputs_alone() -> None:
    base = stage({"x": 1, "y": 2})
    assert base.key == stage({"y": 2, "x": 1}, title="another title").key
    others = [stage({"x": 2, "y": 2}), stage({"x": 1, "y": 2}, version=2), stage({"x": 1, "y": 2}, inputs={"a": base})]
    assert len({base.key, *(other.key for other in others)}) == 4


def test_an_input_change_changes_every_key_behind_it() -> None:
    def chain(x: int) -> str:
        return stage({}, inputs={"b": stage({}, inputs={"a": stage({"x": x})})}).key

    assert chain(1) != chain(2)


def test_a_stopped_stage_finds_its_progress_again_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = []

    def compute(target: Path, inputs: dict[str, Path]) -> None:
        found.append(sorted(str(path.relative_to(target)) for path in target.rglob("*")))
        (target / PROGRESS).mkdir(exist_ok=True)
        (target / PROGRESS / f"part {len(found)}").touch()
        (target / "result.txt").touch()
        if len(found) < 3:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            store.get(stage({}, compute))
    artifact = store.get(stage({}, compute))
    assert found == [[], [PROGRESS, f"{PROGRESS}/part 1"], [PROGRESS, f"{PROGRESS}/part 1", f"{PROGRESS}/part 2"]]
    assert sorted(path.name for path in artifact.path.iterdir()) == ["manifest.json", "result.txt"]


def test_explain_names_the_field_that_differs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert "no double artifact" in store.explain(stage({"lr": 1}))
    store.get(stage({"lr": 1, "epochs": 3}))
    assert "config.lr: 1 → 2" in store.explain(stage({"lr": 2, "epochs": 3}))


def test_explain_compares_with_the_nearest_and_passes_over_a_damaged_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    paths = [store.get(stage({"lr": lr, "lora": {"rank": rank}})).path for lr, rank in ((1, 8), (2, 16), (2, 32))]
    told = store.explain(stage({"lr": 3, "lora": {"rank": 32}}))
    assert told == f"differs from {paths[2].name} in config.lr: 2 → 3"
    (paths[2] / "manifest.json").write_text('{"config": ')
    assert paths[2].name not in store.explain(stage({"lr": 3, "lora": {"rank": 32}}))


def test_a_failing_stage_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(target: Path, inputs: dict[str, Path]) -> None:
        (target / "half.txt").write_text("half")
        raise ValueError("broken")

    store = Store(tmp_path)
    with pytest.raises(ValueError, match="broken"):
        store.get(stage({}, fail))
    assert not store.has(stage({}))
    assert not list((tmp_path / ".partial").iterdir())
    assert not store.get(stage({})).reused


@pytest.mark.parametrize(
    ("code", "word"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")]
)
def test_a_fault_of_the_disk_is_named_and_the_store_stays_intact(tmp_path: Path, code: int, word: str) -> None:
    def full(target: Path, inputs: dict[str, Path]) -> None:
        raise OSError(code, os.strerror(code), str(target / "weights"))

    store = Store(tmp_path)
    store.get(stage({"x": 1}))
    with pytest.raises(MachineError, match=word):
        store.get(stage({"x": 2}, full))
    assert store.has(stage({"x": 1}))
    assert not store.has(stage({"x": 2}))


def _slow(target: Path, inputs: dict[str, Path]) -> None:
    (target / "result.txt").write_text(str(os.getpid()))
    time.sleep(0.5)


def _get_slow(root: Path) -> None:
    Store(root).get(stage({"slow": True}, _slow))


def test_parallel_jobs_compute_a_shared_stage_once(tmp_path: Path) -> None:
    jobs = [multiprocessing.Process(target=_get_slow, args=(tmp_path,)) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    assert sorted(e["event"] for e in Store(tmp_path).account()) == ["computed", "reused", "reused", "reused"]


def _never_ends(target: Path, inputs: dict[str, Path]) -> None:
    (target / "half.txt").write_text("half")
    time.sleep(60)


def _get_never(root: Path) -> None:
    Store(root).get(stage({"k": 1}, _never_ends))


def test_a_killed_job_neither_blocks_nor_leaves_a_half_artifact(tmp_path: Path) -> None:
    job = multiprocessing.Process(target=_get_never, args=(tmp_path,))
    job.start()
    half = tmp_path / ".partial" / f"double-{stage({'k': 1}).key}" / "half.txt"
    while not half.exists():
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    job.join()
    store = Store(tmp_path)
    assert not store.has(stage({"k": 1}))
    artifact = store.get(stage({"k": 1}))
    assert sorted(p.name for p in artifact.path.iterdir()) == ["manifest.json", "result.txt"]


def test_a_store_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="store cannot be opened"):
        Store(tmp_path / "file" / "store")


def test_a_fault_of_the_disk_that_a_rust_library_reports(tmp_path: Path) -> None:
    def full(target: Path, inputs: dict[str, Path]) -> None:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(MachineError, match="disk is full"):
        Store(tmp_path).get(stage({}, full))


def test_damaged_records_are_named_or_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact = store.get(stage({"x": 1}))
    (tmp_path / "account.jsonl").open("a").write('{"half')
    assert len(store.account()) == 1
    (artifact.path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest.json: is damaged; delete the folder"):
        store.get(stage({"x": 1}))
    assert not store.get(stage({"x": 2})).reused
