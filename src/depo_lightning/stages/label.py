"""tokenizer, label, rephrase: from collected trajectories to desirable and undesirable ones."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depo_lightning.agents import react
from depo_lightning.agents.account import refusal_remedy
from depo_lightning.config import (
    AbsoluteThresholds,
    Config,
    MixtureThresholds,
    PretrainedConfig,
    ThresholdsConfig,
    TinyConfig,
)
from depo_lightning.errors import DataError
from depo_lightning.files import atomic
from depo_lightning.progress import console
from depo_lightning.stages import pretrained
from depo_lightning.stages.context import TRAJECTORIES, Context, plain, write_stats
from depo_lightning.stages.llm import chat_model, check_broken, is_llm, kept_account, llm_identity, told
from depo_lightning.store import PROGRESS, Stage
from depo_lightning.trajectory import Trajectory, iter_jsonl, to_line, with_token_counts, write_jsonl
from depo_lightning.validation.llm import needs
from depo_lightning.validation.thresholds import one_for_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from depo_lightning.agents.account import Account
    from depo_lightning.collect.label_report import LabelReport
    from depo_lightning.collect.rephrase import Rephraser

REPORT = "report.json"
THOUGHTS = "thoughts.jsonl"
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

    texts = _Texts(inputs["trajectories"] / TRAJECTORIES)
    fit_tokenizer(texts, _phrases(context), size).save_pretrained(target)


class _Texts:
    """All messages of a file's episodes; each iteration reads the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        for trajectory in iter_jsonl(self._path):
            yield from (message["content"] for message in trajectory.messages())


def _phrases(context: Context) -> list[str]:
    return [*react.PHRASES, *context.make_env().phrases]


def label_stage(config: Config, context: Context, collected: Stage, tokenizer: Stage) -> Stage:
    """Counts tokens and labels every trajectory."""
    inputs = {"trajectories": collected, "tokenizer": tokenizer}
    return Stage("label", 1, {"thresholds": plain(config.thresholds)}, partial(_label, context), inputs)


def _label(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    source = inputs["trajectories"] / TRAJECTORIES
    count = token_counter(inputs["tokenizer"])
    outlines = [count(item).outline() for item in iter_jsonl(source)]
    labelled, report = label_by(context.config.thresholds, outlines)
    _say(report.lines())
    (target / REPORT).write_text(json.dumps(report.to_dict(), indent=1) + "\n")
    write_jsonl(target / TRAJECTORIES, _filled(labelled, iter_jsonl(source)))
    write_stats(target, sum(item.agent_tokens for item in outlines))


def _filled(outlines: Sequence[Trajectory], episodes: Iterable[Trajectory]) -> Iterator[Trajectory]:
    """The episodes that have an outline, with its label and token counts."""
    known = {outline.id: outline for outline in outlines}
    for item in episodes:
        if outline := known.get(item.id):
            counted = with_token_counts(item, (step.tokens for step in outline.steps))
            yield replace(counted, label=outline.label)


def label_by(thresholds: ThresholdsConfig, trajectories: Sequence[Trajectory]) -> tuple[list[Trajectory], LabelReport]:
    """The labelled episodes and the report, by the rules of group `thresholds`.

    Raises:
        DataError: absolute bounds for several environments; what the rules raise.
    """
    from depo_lightning.collect import labelling
    from depo_lightning.collect.mixture_labels import label_mixture

    values = vars(thresholds)
    caps = labelling.Caps(**{name: values[name] for name in _CAPS})
    if isinstance(thresholds, MixtureThresholds):
        return label_mixture(trajectories, {env: partial(label_by, own) for env, own in thresholds.parts.items()}, caps)
    rules = {name: value for name, value in values.items() if name not in ("kind", *_CAPS)}
    absolute = isinstance(thresholds, AbsoluteThresholds)
    environments = sorted({item.env for item in trajectories})
    if absolute and len(environments) > 1:
        raise DataError(f"thresholds.kind=absolute: {one_for_all(environments)}")
    label = labelling.label_absolute if absolute else labelling.label_relative
    return label(trajectories, **rules, caps=caps)


def rephrase_stage(config: Config, context: Context, labelled: Stage, tokenizer: Stage) -> Stage:
    """Shortens the thoughts of the desirable trajectories; keeps only D and U."""
    inputs = {"trajectories": labelled, "tokenizer": tokenizer}
    identity: dict[str, Any] = {"rephraser": llm_identity("rephraser", config.rephraser)}
    if is_llm(config.rephraser):
        identity["phrases"] = list(context.make_env().phrases)
    lacks = partial(needs, "rephraser", config.rephraser)
    return Stage("rephrase", 1, identity, partial(_rephrase, context), inputs, needs=lacks)


def _rephrase(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.collect.journal import Journal
    from depo_lightning.collect.rephrase import rephrase_each

    node: Any = context.config.rephraser
    with ExitStack() as stack:
        journal, account = None, None
        if is_llm(node):
            account = stack.enter_context(kept_account("rephraser", node, target))
            journal = stack.enter_context(Journal(target / PROGRESS / THOUGHTS))
        labelled = iter_jsonl(inputs["trajectories"] / TRAJECTORIES)
        count, phrases = token_counter(inputs["tokenizer"]), context.make_env().phrases
        file = stack.enter_context(atomic(target / TRAJECTORIES))
        report = rephrase_each(
            labelled,
            _rephraser(node, account),
            take=lambda item: file.write(to_line(count(item))),
            phrases=phrases,
            journal=journal,
        )
    lost = "desirable episodes lost answers to refused questions"
    check_broken(report.refused, report.episodes, lost, refusal_remedy("rephraser"))
    reasons = ", ".join(f"{count} {reason}" for reason, count in report.rejected.items())
    _say(
        [
            f"{report.changed_steps} of {report.steps} desirable thoughts shortened, {report.words_before} → "
            f"{report.words_after} words; {report.rejected_steps} rewrites rejected{f' ({reasons})' if reasons else ''}"
        ]
    )
    (target / REPORT).write_text(json.dumps(report.to_dict(), indent=1) + "\n")


def _rephraser(node: Any, account: Account | None) -> Rephraser:
    from depo_lightning.collect.rephrase import NoneRephraser, RulesRephraser

    if account is None:
        return RulesRephraser() if node.name == "rules" else NoneRephraser()
    from depo_lightning.collect.llm_rephrase import LLMRephraser, RephraserPrompts

    return LLMRephraser(chat_model(node, account), told(RephraserPrompts, node.prompts))


def _say(lines: list[str]) -> None:
    for line in lines:
        console.print(f"  {line}", markup=False, style="yellow" if line.startswith("WARNING") else "dim")


def token_counter(tokenizer: Path) -> Callable[[Trajectory], Trajectory]:
    """A function that fills in `tokens` of every step with the policy's own tokenizer."""
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.stages.policies import load_tokenizer

    return ChatRenderer(load_tokenizer(tokenizer)).count
