"""Fixtures: a machine without W&B credentials, W&B's offline runs read back from their files, and a finished sweep."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

OVERRIDES = [["alpha1=0", "thresholds=babyai"], ["alpha1=1", "thresholds=relative"], ["alpha1=2.5", "thresholds=null"]]
RESULTS = {  # as results.json has them
    "main": "depo",
    "policies": {
        "bc": {
            "metrics": {"success_rate": {"mean": 0.75, "se": 0.025, "n": 300}},
            "counts": {"crashed": 0},
            "timing": {"seconds_per_episode": {"mean": 0.2, "se": None, "n": 1}},
            "difference_to_bc": None,
        },
        "depo": {
            "metrics": {
                "success_rate": {"mean": 0.8, "se": 0.02, "n": 300},
                "tokens_success": {"mean": None, "se": None, "n": 0},
            },
            "counts": {"crashed": 2},
            "timing": {},
            "difference_to_bc": {"success": {"mean": 0.05, "low": -0.01, "high": 0.11, "n": 298, "resolved": False}},
        },
    },
}
MEASURED = [(0.7, 200.0), (0.8, 180.0), (0.6, 150.0)]  # success, tokens: jobs 1 and 2 dominate job 0


@pytest.fixture(autouse=True)
def no_key(monkeypatch, tmp_path):
    """A machine without W&B credentials and without a way to reach it."""
    for name in ("API_KEY", "IDENTITY_TOKEN_FILE", "MODE", "BASE_URL", "SWEEP_ID", "RUN_ID"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb_home"))


class OfflineRun:
    """What the offline run below `root` holds, once W&B's service, which writes it, has written the last record."""

    def __init__(self, root: Path) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            self.records = list(_parse(root))
            if any(record.HasField("exit") for record in self.records):
                return
            time.sleep(0.05)
        raise AssertionError("the run's file never became complete")

    def of(self, kind: str) -> list[Any]:
        """The records of a kind: run, history, summary, metric, environment, files, …"""
        return [getattr(record, kind) for record in self.records if record.HasField(kind)]

    @property
    def run(self) -> Any:
        """What the run is called."""
        (run,) = {run.run_id: run for run in self.of("run")}.values()
        return run

    @property
    def config(self) -> dict[str, Any]:
        return {item.key: json.loads(item.value_json) for item in self.run.config.update}

    @property
    def summary(self) -> dict[str, Any]:
        return {_name(item): json.loads(item.value_json) for part in self.of("summary") for item in part.update}

    @property
    def curves(self) -> list[dict[str, Any]]:
        """The points that were logged, in order."""
        return [{_name(i): json.loads(i.value_json) for i in history.item} for history in self.of("history")]


@pytest.fixture
def offline_run() -> Callable[[Path], OfflineRun]:
    return OfflineRun


@pytest.fixture
def results() -> dict[str, Any]:
    return RESULTS


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Four jobs: the second was tracked, the last one failed; `thresholds` mixes text with null."""
    root = tmp_path / "multirun" / "grid"
    for job, (overrides, (success, tokens)) in enumerate(zip(OVERRIDES, MEASURED, strict=True)):
        _job(root, job, overrides)
        metrics = {k: {"mean": v, "se": 0.01, "n": 9} for k, v in (("success_rate", success), ("tokens_all", tokens))}
        results = {"main": "depo", "policies": {"depo": {"metrics": metrics}}}
        (root / str(job) / "results.json").write_text(json.dumps(results))
    (root / "1" / "tracking.json").write_text(json.dumps({"kind": "wandb", "run_id": "abc", "url": "https://w/abc"}))
    (_job(root, 3, ["alpha1=4", "thresholds=relative"]) / "error.txt").write_text("data error:\n  - none\n")
    return root


def _job(root: Path, number: int, overrides: list[str]) -> Path:
    folder = root / str(number) / ".hydra"
    folder.mkdir(parents=True)
    OmegaConf.save(overrides, folder / "overrides.yaml")
    OmegaConf.save({"hydra": {"job": {"num": number}}}, folder / "hydra.yaml")
    return folder.parent


def _name(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def _parse(root: Path) -> Iterator[Any]:
    """LevelDB's log format, a protobuf message per record."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = root.glob("wandb/offline-run-*/run-*.wandb")
    data, position, parts = path.read_bytes(), 7, []  # after the file header
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # too little is left of the block for a header: padding
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        if position + 7 + length > len(data):
            return
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # a full record, or the last part of one
            record = Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record
