"""What grows with the number of episodes: a few bytes a token in training, and no texts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from depo_lightning.agents.chat import Encoded
from depo_lightning.agents.react import format_turn
from depo_lightning.collect import rephrase
from depo_lightning.config import Config
from depo_lightning.data import CompactSequence, PreferenceData, PreferenceSample, SftDataModule
from depo_lightning.models import fit_tokenizer
from depo_lightning.stages.context import TRAJECTORIES, Context
from depo_lightning.stages.label import label_stage, rephrase_stage
from depo_lightning.store import Stage, Store
from depo_lightning.trajectory import Step, Trajectory, read_jsonl, write_jsonl

LIST = 36  # bytes of an integer in a list


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """A function that gives the most bytes that were held at a time, so far."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def conversation(length: int) -> Encoded:
    ids = (1000 + np.arange(length) % 500).tolist()
    return Encoded(ids, [(length // 2, length // 2 + 20), (length - 20, length)])


def test_training_holds_fewer_bytes_a_token_than_a_list() -> None:
    tokens = 200 * 2000
    with traced() as most:
        sequences = [CompactSequence.of(conversation(2000)) for _ in range(200)]
        rows = SftDataModule(sequences, 4096, seed=0).dataset.rows
        assert most() < 16 * tokens < LIST * tokens
        assert rows.ids.nbytes + rows.segments.nbytes == 8 * tokens
    with traced() as most:
        compact = [CompactSequence.of(conversation(2000)) for _ in range(200)]
        data = PreferenceData(
            [
                PreferenceSample(str(number), item.input_ids, item.spans, number % 2 == 0, str(number))
                for number, item in enumerate(compact)
            ]
        )
        data.fingerprint()
        assert most() < 28 * tokens < LIST * tokens
        assert data.steps.ids.nbytes + data.steps.segments.nbytes == 8 * tokens


def test_the_stages_before_training_hold_no_texts(
    compose_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thought = "I see it. So I go."
    step = Step("word " * 4000, thought, "go", format_turn(thought, "go"))
    episodes = [
        Trajectory(f"{number}", "babyai", number // 4, 0, "s", (step,) * (1 + number % 4), 1.0, True)
        for number in range(400)
    ]
    size = 20_000 * sum(item.t_step for item in episodes)

    def collected(target: Path, inputs: dict[str, Path]) -> None:
        write_jsonl(target / TRAJECTORIES, episodes)

    def fitted(target: Path, inputs: dict[str, Path]) -> None:
        fit_tokenizer([thought]).save_pretrained(target)

    config = compose_config("thresholds=relative")
    monkeypatch.setattr(rephrase, "_AT_A_TIME", 8)
    source, tokenizer = Stage("collect", 1, {}, collected), Stage("tokenizer", 1, {}, fitted)
    label = label_stage(config, Context(config), source, tokenizer)
    rephrased = rephrase_stage(config, Context(config), label, tokenizer)
    store = Store(config.store)
    for stage in (source, tokenizer):
        store.get(stage)
    Context(config).make_env()  # what is imported is not meant
    for stage in (label, rephrased):
        with traced() as most:
            store.get(stage)
            assert most() < size / 5
    found = read_jsonl(store.path(rephrased) / TRAJECTORIES)
    assert {item.steps[0].thought for item in found if item.rephrased} == {"I go."}
    assert {item.steps[0].observation for item in found} == {step.observation}
