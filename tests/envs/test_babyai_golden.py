"""The protocol against recorded play of the reference (see `record_golden.py`)."""

import gzip
import json
import re
import runpy
from pathlib import Path

import pytest

from depo_lightning.envs.babyai import BabyAIEnv

HERE = Path(__file__).parent
digest = runpy.run_path(str(HERE / "record_golden.py"))["digest"]


@pytest.fixture(scope="module")
def episodes():
    with gzip.open(HERE / "golden" / "babyai.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def replay(env, episode):
    """(observation, reward, score, done) of the reset and of every step."""
    answers = [(env.reset(episode["task"]), 0.0, 0.0, False)]
    for action in episode["actions"]:
        result = env.step(action)
        answers.append((result.observation, result.reward, env.score, result.done))
    return answers


def test_golden_covers_all_levels_with_fifty_tasks_each(episodes):
    tasks = {episode["task"] for episode in episodes}
    assert {(task % 40, task // 40) for task in tasks} >= {(level, seed) for level in range(40) for seed in range(50)}


def test_texts_equal_the_reference(episodes):
    env = BabyAIEnv(scoring="agentgym")
    told = [episode for episode in episodes if "texts" in episode]
    assert len(told) == 40
    for episode in told:
        assert [text for text, *_ in replay(env, episode)] == episode["texts"], env.level(episode["task"])


def test_every_answer_equals_the_reference(episodes):
    env = BabyAIEnv(scoring="agentgym")
    for episode in episodes:
        found = [digest(*answer) for answer in replay(env, episode)]
        assert found == episode["digests"], f"task {episode['task']}, {env.level(episode['task'])}"


def test_default_scoring_says_the_same_until_the_end(episodes):
    """Same texts in both scorings up to the answer in which the default ends the episode."""
    env = BabyAIEnv()
    for episode in episodes[:400]:
        texts = [env.reset(episode["task"])]
        for action in episode["actions"]:
            result = env.step(action)
            if result.done:
                break
            assert result.reward == 0
            texts.append(result.observation)
        assert [digest(text, 0.0, 0.0, False) for text in texts] == episode["digests"][: len(texts)]


def test_every_phrase_occurs_in_the_protocol(episodes):
    env = BabyAIEnv(scoring="agentgym")
    texts = [text for episode in episodes for text in episode.get("texts", ())]
    texts += [
        text for episode in episodes[:400] if "lock" in env.level(episode["task"]) for text, *_ in replay(env, episode)
    ]
    texts += [env.reset(task) for task in range(200)]
    assert [phrase for phrase in env.phrases if not any(re.search(phrase, text) for text in texts)] == []
    assert list(env.phrases) == sorted(env.phrases, key=len, reverse=True)
