"""Which stage feeds which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from depo_lightning.choices import EfficiencyForm
from depo_lightning.config import Config, EfficiencyConfig, Policy, PretrainedConfig
from depo_lightning.stages.context import Context
from depo_lightning.store import Stage

Step = tuple[str, str, Stage]
"""Phase of the command line, name, stage."""


@dataclass(frozen=True)
class Plan:
    """The stages of a run.

    Attributes:
        steps: inputs before their users.
        policies: the training stage of each policy in the table, BC first.
        evaluations: the evaluation stage of each.
        answers: by set of questions, the stage of each policy's answers.
        main: the policy that `alpha1`, `alpha2` and group `efficiency` describe.
    """

    steps: list[Step]
    policies: dict[str, Stage]
    evaluations: dict[str, Stage]
    answers: dict[str, dict[str, Stage]]
    main: str


def plan(config: Config, context: Context) -> Plan:
    """Lay out the stages; nothing is computed."""
    from depo_lightning.stages import collect, label, preference, supervised

    collected = collect.collect_stage(config, context)
    tokenizer = label.tokenizer_stage(config, context, collected)
    labelled = label.label_stage(config, context, collected, tokenizer)
    rephrased = label.rephrase_stage(config, context, labelled, tokenizer)
    bc = supervised.bc_stage(config, context, collected, rephrased, tokenizer)
    reference = preference.reference_stage(config, context, bc, rephrased)

    def preferred(efficiency: EfficiencyConfig) -> Stage:
        return preference.depo_stage(config, context, bc, rephrased, reference, efficiency)

    main = str(config.efficiency.form)
    supervised_steps: list[Step] = []
    preference_steps: list[Step] = []
    if Policy.bc in config.policies:
        supervised_steps.append(("bc", "bc", bc))
    if Policy.filtered_bc in config.policies:
        filtered = supervised.filtered_bc_stage(config, context, bc, collected, tokenizer)
        supervised_steps.append(("bc", "filtered_bc", filtered))
    if Policy.kto in config.policies:
        preference_steps.append(("depo", "kto", preferred(EfficiencyConfig(EfficiencyForm.kto))))
    if Policy.depo in config.policies and main not in [name for _, name, _ in preference_steps]:
        preference_steps.append(("depo", main, preferred(config.efficiency)))
    policies = {name: stage for _, name, stage in (*supervised_steps, *preference_steps)}
    evaluations, answers, questions, played = _evaluations(config, context, policies, bc)
    steps = [
        *questions,  # first: a hub may not answer
        *_sources(config, collected, tokenizer),
        ("label", "label", labelled),
        ("rephrase", "rephrase", rephrased),
        *supervised_steps,
        ("reference", "reference", reference),
        *preference_steps,
        *played,
    ]
    return Plan(steps, policies, evaluations, answers, main if main in policies else list(policies)[-1])


def _sources(config: Config, collected: Stage, tokenizer: Stage) -> Iterator[Step]:
    """Trajectories, model and tokenizer.

    What a pretrained model lacks is told before the search starts; a new model's tokenizer needs the search.
    """
    from depo_lightning.stages import pretrained

    prepared = [("tokenizer", name, stage) for name, stage in pretrained.model_inputs(config).items()]
    prepared.append(("tokenizer", "tokenizer", tokenizer))
    first = ("collect", "collect", collected)
    yield from [*prepared, first] if isinstance(config.model, PretrainedConfig) else [first, *prepared]


def _evaluations(
    config: Config, context: Context, policies: dict[str, Stage], bc: Stage
) -> tuple[dict[str, Stage], dict[str, dict[str, Stage]], list[Step], list[Step]]:
    """Evaluations and answers as in a `Plan`; the steps that fetch questions, and those that play and answer."""
    from depo_lightning.stages import evaluate, questions

    evaluations = {name: evaluate.evaluate_stage(config, context, name, stage, bc) for name, stage in policies.items()}
    asked = {name: questions.questions_stage(config, name) for name in config.evaluation}
    answers = {
        name: {
            policy: questions.answers_stage(config, context, name, asked[name], stage)
            for policy, stage in policies.items()
        }
        for name in asked
    }
    played: list[Step] = [("evaluate", f"evaluate {name}", stage) for name, stage in evaluations.items()]
    for name, given in answers.items():
        played += (("evaluate", f"{name} {policy}", stage) for policy, stage in given.items())
    return evaluations, answers, [("evaluate", f"questions {name}", stage) for name, stage in asked.items()], played
