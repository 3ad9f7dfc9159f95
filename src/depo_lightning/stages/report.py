"""report: what a run leaves in its output directory, and the table it closes with. Not stored: it is quick."""

from __future__ import annotations

import json
import math
import platform
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from depo_lightning.config import Config
from depo_lightning.evaluation.environments import environments_results, policies_results
from depo_lightning.evaluation.episode_table import EPISODE_TABLE, episode_table
from depo_lightning.evaluation.figures import write_success_figure
from depo_lightning.evaluation.questions import answer_lines, questions_results
from depo_lightning.evaluation.table import markdown_table, results_table
from depo_lightning.exports.cards import write_cards
from depo_lightning.exports.run import Run
from depo_lightning.files import machine_faults, write_atomic
from depo_lightning.progress import console
from depo_lightning.results import tables
from depo_lightning.stages.context import EPISODES, RESULTS, STATS, VALIDATION
from depo_lightning.store import MANIFEST, Stage, Store
from depo_lightning.trajectory import Trajectory, read_jsonl, write_jsonl

if TYPE_CHECKING:
    from depo_lightning.tracking import Tracker

SCHEMA = 1
ANSWERS = "answers.jsonl"
FIGURE = "success_tokens.png"
_PACKAGES = ("torch", "transformers", "peft", "pytorch-lightning", "minigrid", "numpy", "depo-lightning")


def report(
    config: Config,
    store: Store,
    stages: dict[str, Stage],
    policies: dict[str, Stage],
    evaluations: dict[str, Stage],
    answers: dict[str, dict[str, Stage]],
    main: str,
    tracker: Tracker,
) -> dict[str, float]:
    """Write results, episodes, figure, table and policies to the output directory; print the table.

    Args:
        config: the run's configuration.
        store: holds every stage below.
        stages: all stages of the run, by the name the account of seconds and tokens gives them.
        policies: trained policies by name, BC first.
        evaluations: evaluation stages by policy.
        answers: stages of answers to questions, by set and policy.
        main: the policy whose metrics a sweep optimises.
        tracker: of the run.

    Returns:
        For a sweeper: metric → mean of the main policy, `_se` → its standard error, and `bc/success_rate` and the
        like for every policy; `webshop/success_rate` for an environment of a mixture and `gsm8k/accuracy` for answers
        to questions, `bc/webshop/success_rate` for every policy; NaN where a metric is undefined.
    """
    output = Path(config.output)
    episodes = {name: read_jsonl(store.path(stage) / EPISODES) for name, stage in evaluations.items()}
    answered = {name: _answers(store, given) for name, given in answers.items()}
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "main": main,
        "alpha1": config.alpha1,
        "alpha2": config.alpha2,
        "seeds": {"training": config.seed, "search": config.search.seed, "rollout": config.rollout.seed},
        "split": config.rollout.split,
        "label_warnings": _label_warnings(store, stages),
        "policies": policies_results(episodes, config.rollout.seed),
        "keys": {name: stage.key for name, stage in stages.items()},
        "tokens": {name: _tokens(store.path(stage)) for name, stage in stages.items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "timing": {"seconds_per_stage": {name: _seconds(store.path(stage)) for name, stage in stages.items()}},
    }
    if environments := environments_results(episodes, config.rollout.seed):
        results["environments"] = environments
    if answered:
        results["questions"] = {name: questions_results(a, config.rollout.seed) for name, a in answered.items()}
    with machine_faults("the results could not be written", output):
        write_atomic(output / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))
        write_jsonl(output / EPISODES, _named(episodes))
        write_atomic(output / EPISODE_TABLE, episode_table(episodes))
        if answered:
            write_atomic(output / ANSWERS, "".join(answer_lines(answered)))
        write_success_figure(results, output / FIGURE)
        write_atomic(output / "table.md", markdown_table(results))
        _copy_policies(store, policies, output / "policies")
        write_atomic(output / RESULTS, json.dumps(results, indent=1) + "\n")
        write_cards(Run.read(output))
    for warning in results["label_warnings"]:
        console.print(f"WARNING: {warning}", markup=False, style="yellow")
    tracker.report(results, output / FIGURE)
    console.print(results_table(results))
    console.print(f"results, figure, episodes and policies: {output}", markup=False)
    return objectives(results)


def objectives(results: dict[str, Any]) -> dict[str, float]:
    """A run's results as the flat numbers that a sweep's objectives and constraints name."""
    flat = {}
    for prefix, policy in (("", results["main"]), *((f"{name}/", name) for name in results["policies"])):
        for within, entries in tables(results):
            for name, value in entries[policy]["metrics"].items():
                for end, number in (("", value["mean"]), ("_se", value["se"])):
                    flat[f"{prefix}{within}{name}{end}"] = math.nan if number is None else number
    return flat


def _answers(store: Store, stages: dict[str, Stage]) -> dict[str, list[Trajectory]]:
    return {policy: read_jsonl(store.path(stage) / EPISODES) for policy, stage in stages.items()}


def _named(episodes: dict[str, list[Trajectory]]) -> Iterable[Trajectory]:
    for name, played in episodes.items():
        for episode in played:
            yield replace(episode, id=f"{name}/{episode.id}", extra={**episode.extra, "policy": name})


def _label_warnings(store: Store, stages: dict[str, Stage]) -> list[str]:
    if "label" not in stages:
        return []
    return json.loads((store.path(stages["label"]) / "report.json").read_text())["warnings"]


def _seconds(artifact: Path) -> float:
    return json.loads((artifact / MANIFEST).read_text())["seconds"]


def _tokens(artifact: Path) -> int | None:
    path = artifact / STATS
    return json.loads(path.read_text())["tokens"] if path.exists() else None


def _copy_policies(store: Store, policies: dict[str, Stage], target: Path) -> None:
    """Copies that work wherever `transformers` and `peft` are; adapters name the copied BC model as their base."""
    for name, stage in policies.items():
        copy = target / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(store.path(stage), copy, copy_function=_copy, ignore=shutil.ignore_patterns(VALIDATION))
        adapter = copy / "adapter_config.json"
        if adapter.exists():
            values = json.loads(adapter.read_text())
            values["base_model_name_or_path"] = str((target / "bc").absolute())
            adapter.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def _copy(source: str, target: str) -> None:
    """A copy; of weights, which may be large and which nothing writes into, a hard link where the disk allows one."""
    if source.endswith(".safetensors"):
        with suppress(OSError):
            Path(target).hardlink_to(source)
            return
    shutil.copy2(source, target)
