"""A random two-layer Llama, and trajectories of random tokens for it."""

from __future__ import annotations

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from depo_lightning.data import PreferenceSample


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config)


@pytest.fixture
def samples() -> list[PreferenceSample]:
    """Twelve trajectories of one to four turns; every third is desirable."""
    rng = np.random.default_rng(0)
    result = []
    for index in range(12):
        ids: list[int] = []
        spans = []
        for _ in range(1 + index % 4):
            ids += rng.integers(0, 64, rng.integers(2, 6)).tolist()
            start = len(ids)
            ids += rng.integers(0, 64, rng.integers(1, 7)).tolist()
            spans.append((start, len(ids)))
        result.append(PreferenceSample(str(index), ids, spans, index % 3 == 0, f"task {index // 2}"))
    return result


class Recorder(pl.Callback):
    """Keeps what was logged at each step."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        self.rows.append({key: float(value) for key, value in trainer.callback_metrics.items()})


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def make_trainer():
    """Builds silent CPU trainers."""

    def make(epochs: int, *callbacks: pl.Callback) -> pl.Trainer:
        return pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=list(callbacks),
        )

    return make
