"""Answers to questions, out of the environment's domain: accuracy and tokens per policy, and differences to BC."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from depo_lightning.evaluation.metrics import mean_estimate, succeeded
from depo_lightning.evaluation.paired import paired_difference
from depo_lightning.trajectory import Trajectory

METRICS = {"accuracy": ("accuracy", 3), "tokens": ("tokens", 1), "tokens_correct": ("tokens, if right", 1)}
DIFFERENCES = {"accuracy": ("accuracy", 3), "tokens": ("tokens", 1), "tokens_percent": ("tokens, %", 1)}
COUNTS = "right/cut/open"
NOTE = (
    "cut: the answer used all of max_new_tokens, or had no room; open: math-verify's comparison was given up, which "
    "counts as wrong"
)
_PAIRED = {"accuracy": "success", "tokens": "tokens", "tokens_percent": "tokens_percent"}


def questions_results(answers: Mapping[str, list[Trajectory]], seed: int) -> dict[str, Any]:
    """The entry of one set in `results["questions"]`, ready for JSON; `answers` by policy, BC among them.

    Layout: `{"n": int, "policies": {name: {"metrics": {name: {mean, se, n}}, "counts": {name: int},
    "difference_to_bc": {name: {mean, low, high, n, resolved}} | None}}}`.
    """
    policies = {}
    for name, given in answers.items():
        right = [episode for episode in given if succeeded(episode)]
        metrics = {
            "accuracy": mean_estimate([succeeded(episode) for episode in given]),
            "tokens": mean_estimate([episode.agent_tokens for episode in given]),
            "tokens_correct": mean_estimate([episode.agent_tokens for episode in right]),
        }
        differences = None
        if name != "bc":
            found = paired_difference(given, answers["bc"], seed)
            differences = {key: found[other].to_json() for key, other in _PAIRED.items()}
        policies[name] = {
            "metrics": {key: estimate.to_json() for key, estimate in metrics.items()},
            "counts": {
                "right": len(right),
                "cut": sum(episode.extra["cut"] for episode in given),
                "undecided": sum(episode.extra["undecided"] for episode in given),
            },
            "difference_to_bc": differences,
        }
    return {"n": len(answers["bc"]), "policies": policies}


def answer_lines(answers: Mapping[str, Mapping[str, Iterable[Trajectory]]]) -> Iterator[str]:
    """The lines of `answers.jsonl`: one per set, policy and question."""
    for name, by_policy in answers.items():
        for policy, given in by_policy.items():
            for episode in given:
                yield json.dumps(_row(name, policy, episode), ensure_ascii=False) + "\n"


def _row(name: str, policy: str, episode: Trajectory) -> dict[str, Any]:
    step = episode.steps[0] if episode.steps else None
    return {
        "set": name,
        "policy": policy,
        "index": episode.task,
        "level": episode.level,
        "question": step.observation if step else None,
        "gold": episode.extra["gold"],
        "text": step.text if step else None,
        "extracted": episode.extra["extracted"],
        "correct": episode.success,
        "undecided": episode.extra["undecided"],
        "cut": episode.extra["cut"],
        "tokens": episode.agent_tokens,
    }
