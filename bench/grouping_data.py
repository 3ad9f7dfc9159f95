"""Real search trees for the measurements of grouping: labelled ones, and successes to imitate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.settings import Settings
from depo_lightning.agents.chat import ChatRenderer, Encoded
from depo_lightning.collect.labelling import label_absolute, label_relative
from depo_lightning.data import PreferenceSample, trajectory_task
from depo_lightning.stages.context import TRAJECTORIES
from depo_lightning.stages.policies import load_tokenizer
from depo_lightning.trajectory import Trajectory, read_jsonl


@dataclass(frozen=True)
class SuccessData:
    """Successes of some trees to train on, and of others to validate on."""

    tokenizer: Any
    train: list[Encoded]
    train_tasks: list[str]
    held: list[Encoded]
    held_tasks: list[str]


def policy(settings: Settings) -> Path:
    """π_BC of the default configuration."""
    return settings.artifacts("bc")[0]


def tokenizer(settings: Settings) -> Any:
    """π_BC's tokenizer."""
    return load_tokenizer(policy(settings))


def trees(settings: Settings, share: float, seed: int = 0) -> list[list[Trajectory]]:
    """The episodes of a seeded share of the search trees that π_BC learned from."""
    inputs = json.loads((policy(settings) / "manifest.json").read_text())["inputs"]
    assert settings.store is not None
    by_task: dict[str, list[Trajectory]] = {}
    for trajectory in read_jsonl(settings.store / "collect" / inputs["trajectories"] / TRAJECTORIES):
        by_task.setdefault(trajectory_task(trajectory), []).append(trajectory)
    found = list(by_task.values())
    chosen = np.random.default_rng(seed).permutation(len(found))[: round(share * len(found))]
    return [found[index] for index in chosen]


def successes(settings: Settings, share: float, held: float) -> SuccessData:
    """Encoded successes of a share of the trees, and of another share to validate on."""
    renderer = ChatRenderer(tokenizer(settings))
    drawn = trees(settings, share + held)
    cut = round(len(drawn) * share / (share + held))
    kept = [[item for tree in part for item in tree if item.success] for part in (drawn[:cut], drawn[cut:])]
    encoded = ([renderer.encode(item.messages()) for item in part] for part in kept)
    tasks = ([trajectory_task(item) for item in part] for part in kept)
    (train, validation), (train_tasks, held_tasks) = encoded, tasks
    return SuccessData(renderer.tokenizer, train, train_tasks, validation, held_tasks)


def labelled(settings: Settings, kind: str, share: float) -> list[PreferenceSample]:
    """Preference data without caps: "relative" labels, the defaults; "absolute" ones, the paper's."""
    renderer = ChatRenderer(tokenizer(settings))
    counted = [renderer.count(item) for tree in trees(settings, share) for item in tree]
    if kind == "relative":
        found, _ = label_relative(counted)
    else:
        found, _ = label_absolute(counted, kappa0=0.9, kappa1=0.9, kappa2=0.7, step_cut=7)
    kept = [item for item in found if item.label is not None]
    return [PreferenceSample.from_trajectory(item, renderer.encode(item.messages())) for item in kept]
