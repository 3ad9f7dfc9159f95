"""questions and answers: sets of single-turn questions, and what each policy makes of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from depo_lightning.config import Config, QuestionsConfig
from depo_lightning.processes import cores
from depo_lightning.progress import bar
from depo_lightning.stages.context import EPISODES, Context, plain, settings, write_stats
from depo_lightning.store import Stage
from depo_lightning.trajectory import Status, Trajectory, write_jsonl

QUESTIONS = "questions.jsonl"
_SOURCE = ("path", "hub", "subset", "split", "revision", "generator", "question_field", "answer_field", "limit")


def questions_stage(config: Config, name: str) -> Stage:
    """The set `name`: read or generated once, the same for all policies, there again without a network."""
    asked = config.evaluation[name]
    fields = {"question_field": asked.question_field, "answer_field": asked.answer_field}
    identity: dict[str, Any]
    if asked.path is not None:
        identity = {"sha256": hashlib.sha256(Path(asked.path).read_bytes()).hexdigest(), **fields}
    elif asked.hub is not None:
        source = {"hub": asked.hub, "subset": asked.subset, "split": asked.split, "revision": asked.revision}
        identity = {**source, **fields}
    else:
        identity = {"generator": asked.generator}
    identity |= {"limit": asked.limit, "seed": asked.seed}
    return Stage("questions", 1, identity, partial(_gather, name, asked), title=f"questions of {name}")


def answers_stage(config: Config, context: Context, name: str, questions: Stage, policy: Stage) -> Stage:
    """Graded answers of one policy to one set."""
    identity = {"questions": plain(config.evaluation[name], *_SOURCE)}
    inputs = {"policy": policy, "questions": questions}
    return Stage("answers", 2, identity, partial(_answer, context, name), inputs, title=f"answers to {name}")


def _gather(name: str, asked: QuestionsConfig, target: Path, inputs: dict[str, Path]) -> None:
    import numpy as np

    from depo_lightning.questions.arithmetic import arithmetic
    from depo_lightning.questions.hub import read_hub
    from depo_lightning.questions.question import read_questions, write_questions

    fields = (asked.question_field, asked.answer_field)
    if asked.path is not None:
        questions = read_questions(asked.path, *fields)
    elif asked.hub is not None:
        remedy = f"give a local JSONL of {{{', '.join(fields)}}} with evaluation.{name}.path"
        questions = read_hub(asked.hub, asked.subset, asked.split, asked.revision, fields, remedy)
    else:
        questions = arithmetic(asked.limit or 0, asked.seed)
    if asked.limit is not None and asked.limit < len(questions):
        drawn = np.random.default_rng(asked.seed).permutation(len(questions))[: asked.limit]
        questions = [questions[index] for index in sorted(drawn)]
    write_questions(target / QUESTIONS, questions)


def _answer(context: Context, name: str, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.envs.questions import QuestionEnv
    from depo_lightning.questions.grading import grade_all
    from depo_lightning.questions.question import read_questions
    from depo_lightning.rollouts import RolloutSettings, play_parallel
    from depo_lightning.stages import policies
    from depo_lightning.stages.training import use_threads

    config, asked = context.config, context.config.evaluation[name]
    use_threads(config.trainer)
    questions = read_questions(inputs["questions"] / QUESTIONS)
    model, tokenizer = policies.load_policy(inputs["policy"])
    texts = [question.question for question in questions]
    make_env = partial(QuestionEnv, name, texts, asked.system, asked.prompt)
    how = settings(RolloutSettings, asked, max_steps=1, batch_size=config.rollout.batch_size)
    workers = config.rollout.workers or max(1, min(cores(), len(texts) // 2))
    with bar(f"{name}: answers", len(texts)) as advance:
        played = play_parallel(
            policies.on_device(model, config.trainer),
            ChatRenderer(tokenizer),
            make_env,
            range(len(texts)),
            how,
            workers,
            lambda episode: advance(),
        )
    with bar(f"{name}: comparison", len(texts)) as advance:
        pairs = [(question.answer, answer_text(episode)) for question, episode in zip(questions, played, strict=True)]
        verdicts = grade_all(pairs, progress=advance)
    graded = []
    for question, episode, verdict in zip(questions, played, verdicts, strict=True):
        found = {"gold": question.answer, "extracted": verdict.extracted, "undecided": verdict.undecided}
        cut = episode.status is not Status.FINISHED or episode.agent_tokens >= asked.max_new_tokens
        reward, level = float(verdict.correct), question.level or name
        extra = {**episode.extra, **found, "cut": cut}
        graded.append(replace(episode, reward=reward, success=verdict.correct, level=level, extra=extra))
    write_jsonl(target / EPISODES, graded)
    write_stats(target, sum(episode.agent_tokens for episode in graded))


def answer_text(episode: Trajectory) -> str:
    """What the policy answered; "" where the question left no room for an answer."""
    return episode.steps[0].text if episode.steps else ""
