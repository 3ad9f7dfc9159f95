"""tokenizer, label, rephrase: from collected trajectories to desirable and undesirable ones."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from depo_lightning.agents import react
from depo_lightning.config import AbsoluteThresholds, Config, PretrainedConfig, TinyConfig
from depo_lightning.progress import console
from depo_lightning.stages import pretrained
from depo_lightning.stages.context import TRAJECTORIES, Context, plain, write_stats
from depo_lightning.store import Stage
from depo_lightning.trajectory import Trajectory, read_jsonl, write_jsonl

REPORT = "report.json"
_CAPS = ("max_desirable", "max_undesirable", "balanced", "fraction", "seed")


def tokenizer_stage(config: Config, context: Context, collected: Stage) -> Stage:
    """The policy's tokenizer; for a model from scratch it is fitted on the collected text, which is training text."""
    if isinstance(config.model, PretrainedConfig):
        return pretrained.tokenizer_stage(config, config.model)
    assert isinstance(config.model, TinyConfig)
    size = config.model.vocab_size
    identity = {"vocab_size": size, "phrases": _phrases(context)}
    compute = partial(_tokenizer, context, size)
    return Stage("tokenizer", 1, identity, compute, {"trajectories": collected}, title="fitting")


def _tokenizer(context: Context, size: int, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.models.tokenizer import fit_tokenizer

    trajectories = read_jsonl(inputs["trajectories"] / TRAJECTORIES)
    texts = (message["content"] for trajectory in trajectories for message in trajectory.messages())
    fit_tokenizer(texts, _phrases(context), size).save_pretrained(target)


def _phrases(context: Context) -> list[str]:
    return [*react.PHRASES, *context.make_env().phrases]


def label_stage(config: Config, context: Context, collected: Stage, tokenizer: Stage) -> Stage:
    """Counts tokens and labels every trajectory."""
    inputs = {"trajectories": collected, "tokenizer": tokenizer}
    return Stage("label", 1, {"thresholds": plain(config.thresholds)}, partial(_label, context), inputs)


def _label(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.collect import labelling

    trajectories = count_tokens(inputs["tokenizer"], read_jsonl(inputs["trajectories"] / TRAJECTORIES))
    thresholds = vars(context.config.thresholds)
    caps = labelling.Caps(**{name: thresholds[name] for name in _CAPS})
    rules = {name: value for name, value in thresholds.items() if name not in ("kind", *_CAPS)}
    if isinstance(context.config.thresholds, AbsoluteThresholds):
        labelled, report = labelling.label_absolute(trajectories, **rules, caps=caps)
    else:
        labelled, report = labelling.label_relative(trajectories, **rules, caps=caps)
    _say(report.lines())
    (target / REPORT).write_text(json.dumps(report.to_dict(), indent=1) + "\n")
    write_jsonl(target / TRAJECTORIES, labelled)
    write_stats(target, sum(trajectory.agent_tokens for trajectory in trajectories))


def rephrase_stage(config: Config, context: Context, labelled: Stage, tokenizer: Stage) -> Stage:
    """Shortens the thoughts of the desirable trajectories; keeps only D and U."""
    inputs = {"trajectories": labelled, "tokenizer": tokenizer}
    return Stage("rephrase", 1, {"rephraser": plain(config.rephraser)}, partial(_rephrase, context), inputs)


def _rephrase(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.collect.rephrase import NoneRephraser, Rephraser, RulesRephraser, rephrase

    rephraser: Rephraser = RulesRephraser() if context.config.rephraser.name == "rules" else NoneRephraser()
    rephrased, report = rephrase(read_jsonl(inputs["trajectories"] / TRAJECTORIES), rephraser)
    _say(
        [
            f"{report.changed_steps} of {report.steps} desirable thoughts shortened, {report.words_before} → "
            f"{report.words_after} words; {report.rejected_steps} rewrites rejected"
        ]
    )
    (target / REPORT).write_text(json.dumps(report.to_dict(), indent=1) + "\n")
    write_jsonl(target / TRAJECTORIES, count_tokens(inputs["tokenizer"], rephrased))


def _say(lines: list[str]) -> None:
    for line in lines:
        console.print(f"  {line}", markup=False, style="yellow" if line.startswith("WARNING") else "dim")


def count_tokens(tokenizer: Path, trajectories: list[Trajectory]) -> list[Trajectory]:
    """Fill in `tokens` of every step with the policy's own tokenizer."""
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.stages.policies import load_tokenizer

    renderer = ChatRenderer(load_tokenizer(tokenizer))
    return [renderer.count(trajectory) for trajectory in trajectories]
