"""Which stored evaluations serve as drafts of the next one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from depo_lightning.stages.evaluate import Validation, earlier_episodes
from depo_lightning.trajectory import Status, Step, Trajectory, write_jsonl

ROLLOUT = {"split": "test", "tasks": 2, "temperature": 0.7}


def episode(said: str, task: int = 0) -> Trajectory:
    return Trajectory(
        id=f"fake-{task}-0",
        env="fake",
        task=task,
        seed=0,
        system="",
        steps=(Step("a room", "", said, said, 3, True),),
        reward=1.0,
        success=True,
        status=Status.FINISHED,
        level="",
        error="",
        extra={},
    )


def store(root: Path, said: str, created: int, inputs: dict[str, str], rollout: dict[str, Any] = ROLLOUT) -> Path:
    folder = root / said
    folder.mkdir(parents=True)
    manifest = {"config": {"rollout": rollout}, "created": f"2026-01-0{created}T00:00:00+00:00", "inputs": inputs}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_jsonl(folder / "episodes.jsonl", [episode(said)])
    return folder


def found(root: Path, **inputs: str) -> list[str]:
    paths = {role: Path("/store") / name for role, name in inputs.items()}
    return [trajectory.steps[0].text for trajectory in earlier_episodes(root, ROLLOUT, paths)]


def test_preference_policies_of_the_same_origin_come_first_the_newest_before_the_others(tmp_path: Path) -> None:
    store(tmp_path, "cloned", 9, {"policy": "bc1"})
    store(tmp_path, "older", 2, {"policy": "depo1", "bc": "bc1"})
    store(tmp_path, "newer", 3, {"policy": "depo2", "bc": "bc1"})
    store(tmp_path, "stranger", 4, {"policy": "depo3", "bc": "bc2"})
    store(tmp_path, "otherwise", 5, {"policy": "depo4", "bc": "bc1"}, ROLLOUT | {"temperature": 0.0})
    assert found(tmp_path, policy="depo5", bc="bc1") == ["newer", "older", "cloned"]
    assert found(tmp_path, policy="bc1") == ["newer", "older", "cloned"]
    assert found(tmp_path, policy="depo3", bc="bc2") == ["stranger"]
    store(tmp_path, "newest", 6, {"policy": "depo6", "bc": "bc1"})
    assert found(tmp_path, policy="depo5", bc="bc1") == ["newest", "newer", "older"]


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    assert found(tmp_path / "nothing", policy="bc1") == []
    inputs = {"policy": "depo1", "bc": "bc1"}
    (store(tmp_path, "cut", 3, inputs) / "episodes.jsonl").write_text('{"id": ')
    (store(tmp_path, "gone", 4, inputs) / "episodes.jsonl").unlink()
    (store(tmp_path, "garbled", 5, inputs) / "manifest.json").write_bytes(b"\xff{")
    (store(tmp_path, "odd", 6, inputs) / "manifest.json").write_text("[]")
    store(tmp_path, "good", 1, inputs)
    assert found(tmp_path, policy="bc1") == ["good"]


def test_a_validation_goes_on_after_a_checkpoint(tmp_path: Path) -> None:
    given: list[list[Trajectory]] = []

    def play(model: str, drafts: list[Trajectory]) -> list[Trajectory]:
        given.append(drafts)
        return [episode(f"said by {model}")]

    stopped, continued = Validation(play), Validation(play)
    assert stopped("first")["success_rate"] == 1.0
    torch.save(stopped.state_dict(), tmp_path / "state")
    continued.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    continued("second")
    assert given == [[], [episode("said by first")]]
