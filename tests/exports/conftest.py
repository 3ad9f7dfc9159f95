"""A finished run's output directory with real, tiny policies, built once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.rollouts.world import TOKENIZER

from depo_lightning.evaluation.metrics import summarise
from depo_lightning.evaluation.paired import paired_difference, policy_results
from depo_lightning.models import LoraSettings, TinySettings, add_lora, build_tiny, save_policy
from depo_lightning.trajectory import Label, Status, Step, Trajectory, write_jsonl

POLICIES = ("bc", "kto", "depo")
CONFIG = """
store: store
env: {name: babyai, levels: [GoToRedBall]}
model: {name: tiny, hidden: 32}
thresholds: {kappa0: 0.9}
efficiency: {form: depo}
teacher: {name: scripted}
search: {tasks: 24, trajectories: null}
bc: {lr: 0.003}
depo: {lr: 0.0005, beta: 0.2}
trainer: {precision: 32-true}
rollout: {temperature: 0.7, max_context: 256}
"""


def episode(task: int, label: Label | None, turns: int = 2, success: bool = True) -> Trajectory:
    said = ("Thought:\nI see a red ball 1.\n\nAction:\ngo", "Action: take the grey key 2")
    steps = tuple(Step(f"You see a red ball {task}.", "", "go", said[i % 2], 9 + task) for i in range(turns))
    return Trajectory(
        f"t{task}", "babyai", task, 0, "Find it.", steps, float(success), success, Status.FINISHED, label=label
    )


@pytest.fixture(scope="session")
def labelled() -> list[Trajectory]:
    return [episode(i, Label.DESIRABLE if i % 2 else Label.UNDESIRABLE, turns=1 + i % 3) for i in range(8)]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, labelled: list[Trajectory]) -> Path:
    root = tmp_path_factory.mktemp("run")
    out = root / "out"
    played = {
        name: [episode(task, None, success=bool((task + shift) % 3)) for task in range(6)]
        for shift, name in enumerate(POLICIES)
    }
    results = {
        "main": "depo",
        "alpha1": 3.0,
        "alpha2": 2.0,
        "seeds": {"training": 0, "search": 0, "rollout": 0},
        "split": "test",
        "label_warnings": ["D and U come from different levels"],
        "keys": {"rephrase": "abc"},
        "versions": {"depo-lightning": "0.1.0"},
        "policies": {
            name: policy_results(summarise(t), None if name == "bc" else paired_difference(t, played["bc"], seed=0))
            for name, t in played.items()
        },
    }
    write_jsonl(root / "store" / "rephrase" / "abc" / "trajectories.jsonl", labelled)
    torch.manual_seed(0)
    bc = out / "policies" / "bc"
    tiny = TinySettings(hidden=32, layers=1, ff=48, heads=2, max_positions=256)
    save_policy(build_tiny(tiny, TOKENIZER, seed=0), TOKENIZER, bc)
    for name in POLICIES[1:]:
        model = add_lora(build_tiny(tiny, TOKENIZER, seed=0), LoraSettings(rank=4), seed=1)
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.2)
        save_policy(model, TOKENIZER, out / "policies" / name, base=str(bc))
    (out / "results.json").write_text(json.dumps(results))
    (out / "config.yaml").write_text(CONFIG.replace("store: store", f"store: {root / 'store'}"))
    return out


@pytest.fixture
def moved(finished: Path, tmp_path: Path) -> Path:
    """A copy at another place, as if the original were gone: its adapters name a directory that is not there."""
    copy = tmp_path / "moved"
    shutil.copytree(finished, copy)
    for path in copy.glob("policies/*/adapter_config.json"):
        path.write_text(path.read_text().replace(str(finished), "/gone"))
    return copy
