"""The stages: the same questions for every policy, and each answer graded by its own question."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from depo_lightning import rollouts
from depo_lightning.agents import chat
from depo_lightning.config import Config
from depo_lightning.errors import ConfigError
from depo_lightning.questions import hub
from depo_lightning.rollouts.episode import Episode
from depo_lightning.stages import policies
from depo_lightning.stages.context import Context
from depo_lightning.stages.questions import QUESTIONS, answers_stage, questions_stage
from depo_lightning.store import Stage, Store
from depo_lightning.trajectory import read_jsonl


def says(texts: Callable[[str], str]) -> Callable[..., Any]:
    """Stands in for `play_parallel`: an agent that answers each prompt with a text, four tokens long."""

    def play(model: Any, renderer: Any, make_env: Any, tasks: Sequence[int], settings: Any, *rest: Any) -> Any:
        played = []
        for task in tasks:
            episode = Episode(make_env(), task, settings.seed, settings.max_steps)
            episode.play(texts(episode.messages[-1]["content"]), 4)
            played.append(episode.trajectory())
        return played

    return play


def test_answers_are_graded_by_their_questions(
    compose_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text("".join(json.dumps({"question": f"{n}+{n}?", "answer": 2 * n}) + "\n" for n in range(20)))
    options = (f"evaluation.local.path={mine}", "evaluation.local.limit=8", "evaluation.local.max_new_tokens=4")
    config = compose_config("evaluation=local", *options)
    store, policy = Store(config.store), Stage("policy", 1, {}, lambda target, inputs: None)
    monkeypatch.setattr(policies, "load_policy", lambda path: (None, None))
    monkeypatch.setattr(chat, "ChatRenderer", lambda tokenizer: None)
    doubled = says(lambda prompt: f"The answer is {2 * int(prompt.split('+')[0])}." if prompt < "2" else "No idea.")
    monkeypatch.setattr(rollouts, "play_parallel", doubled)
    questions = questions_stage(config, "local")
    answers = answers_stage(config, Context(config), "local", questions, policy)
    for stage in (policy, questions, answers):
        store.get(stage)
    asked = [json.loads(line) for line in (store.path(questions) / QUESTIONS).read_text().splitlines()]
    assert len(asked) == 8
    assert asked == sorted(asked, key=lambda row: int(row["answer"]))  # a draw, in the file's order
    given = read_jsonl(store.path(answers) / "episodes.jsonl")
    assert [episode.extra["gold"] for episode in given] == [row["answer"] for row in asked]
    for episode, row in zip(given, asked, strict=True):
        assert episode.success is (row["question"] < "2")
        assert episode.reward == float(episode.success)
        assert episode.extra["cut"]  # four of four tokens
    assert {episode.success for episode in given} == {True, False}


def test_a_hub_out_of_reach_names_the_remedy(
    compose_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    def unreachable(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    config = compose_config("evaluation=math")
    with pytest.raises(
        ConfigError, match=r"HuggingFaceH4/MATH-500.*reach.*\{problem, answer\} with evaluation\.math\.path"
    ):
        Store(config.store).get(questions_stage(config, "math"))


def test_rows_of_the_hub_become_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows = [{"question": "9 eggs at $2?", "answer": "9 * 2 = 18\n#### 18"}]
    monkeypatch.setattr(datasets, "load_dataset", lambda *arguments, **options: rows)
    found = hub.read_hub("openai/gsm8k", "main", "test", None, ("question", "answer"), "")
    assert [question.question for question in found] == ["9 eggs at $2?"]
    assert found[0].answer.endswith("#### 18")
