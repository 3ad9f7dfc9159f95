"""Which stored episodes serve as drafts of the next ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from depo_lightning.rollouts.drafts import DRAFTS
from depo_lightning.stages.drafts import of_evaluations, of_validations
from depo_lightning.stages.evaluate import Validation
from depo_lightning.trajectory import Status, Step, Trajectory, to_row, write_jsonl

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
    return [trajectory.steps[0].text for trajectory in of_evaluations(root, ROLLOUT, paths)]


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


def training(root: Path, said: str, created: int, bc: str, validation: dict[str, Any] = ROLLOUT) -> None:
    folder = root / said
    folder.mkdir(parents=True)
    manifest = {"config": {"validation": validation}, "created": f"2026-01-0{created}", "inputs": {"bc": bc}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_jsonl(folder / "validation.jsonl", [episode(said)])


def test_validations_of_the_same_origin_the_newest_first(tmp_path: Path) -> None:
    training(tmp_path, "older", 1, "bc1")
    training(tmp_path, "newer", 2, "bc1")
    training(tmp_path, "stranger", 3, "bc2")
    training(tmp_path, "otherwise", 4, "bc1", ROLLOUT | {"tasks": 3})
    training(tmp_path, "before they were kept", 5, "bc1")
    (tmp_path / "before they were kept" / "validation.jsonl").unlink()
    found = of_validations(tmp_path, ROLLOUT, Path("store/bc/bc1"))
    assert [trajectory.steps[0].text for trajectory in found] == ["newer", "older"]


def test_a_validation_drafts_from_kindred_policies_and_from_the_one_before_a_checkpoint_too(tmp_path: Path) -> None:
    given = []

    def play(model: str, drafts: list[Trajectory]) -> list[Trajectory]:
        given.append([draft.steps[0].text for draft in drafts])
        return [episode(f"said by {model}")]

    kindred = [episode(f"kindred {number}") for number in range(DRAFTS)]  # as many as are kept of a task
    stopped, continued = (Validation(play, kindred) for _ in range(2))
    assert stopped("first")["success_rate"] == 1.0
    torch.save(stopped.state_dict(), tmp_path / "state")
    continued.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    continued("second")
    others = [draft.steps[0].text for draft in kindred]
    assert given == [others, ["said by first", *others]]
    assert [one.steps[0].text for one in continued.episodes] == ["said by second"]


def test_a_checkpoint_with_episodes_in_another_form_is_gone_on_from() -> None:
    validation = Validation(lambda model, drafts: [], [])
    validation.load_state_dict({"episodes": [to_row(episode("said"))]})
    validation.load_state_dict({"episodes": ["{"]})
    assert validation.episodes == []
