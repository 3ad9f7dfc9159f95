"""Group `evaluation`: sets of questions."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from depo_lightning.config import Config, QuestionsConfig, TinyConfig
from depo_lightning.errors import DataError
from depo_lightning.validation.rules import COUNT, Rule, at_least, rule_faults, seed

RULES: tuple[Rule, ...] = (
    ("limit", at_least(2), "must be at least 2, or there is no standard error"),
    ("seed", seed, "must be in [0, 2³²)"),
    ("temperature", at_least(0), "must be 0 (greedy) or more"),
    ("max_new_tokens", at_least(1), COUNT),
    ("prompt", lambda value: "{question}" in value, "must hold {question}, where the question goes"),
)
GENERATORS = ("arithmetic",)
_INSTALL = 'is not installed; run pip install -e ".[math]"'


def faults(config: Config) -> Iterator[str]:
    """What is wrong with the questions; local files are read here, so that a bad line is known before any work."""
    if config.evaluation and find_spec("math_verify") is None:
        yield f"evaluation={list(config.evaluation)}: math-verify, which compares answers, {_INSTALL}"
    for name, questions in config.evaluation.items():
        field = f"evaluation.{name}"
        yield from (f"{field}.{fault}" for fault in rule_faults(questions, RULES))
        yield from _source_faults(field, questions)
        yield from _length_faults(field, questions, config)


def _source_faults(field: str, questions: QuestionsConfig) -> Iterator[str]:
    if questions.path is not None:
        from depo_lightning.questions.question import read_questions

        try:
            read_questions(questions.path, questions.question_field, questions.answer_field)
        except DataError as error:
            yield from error.faults
    elif questions.hub is not None:
        if find_spec("datasets") is None:
            yield f"{field}.hub={questions.hub!r}: datasets {_INSTALL}, or give {field}.path"
    elif questions.generator is None:
        yield f"{field}.path=null: give a JSONL of {{{questions.question_field}, {questions.answer_field}}}"
    elif questions.generator not in GENERATORS:
        yield f"{field}.generator={questions.generator!r}: choose from {list(GENERATORS)}"
    elif questions.limit is None:
        yield f"{field}.limit=null: say how many questions to generate"


def _length_faults(field: str, questions: QuestionsConfig, config: Config) -> Iterator[str]:
    length = f"{field}.max_context={questions.max_context}"
    if questions.max_new_tokens >= questions.max_context:
        yield f"{field}.max_new_tokens={questions.max_new_tokens}: must be less than {length}, or no answer fits"
    if isinstance(config.model, TinyConfig) and questions.max_context > config.model.max_positions:
        yield f"{length}: the model has only model.max_positions={config.model.max_positions} positions"
