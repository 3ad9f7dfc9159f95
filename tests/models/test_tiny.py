"""The model built from scratch."""

from __future__ import annotations

import pytest
import torch

from depo_lightning.errors import ConfigError
from depo_lightning.models import TinySettings, build_tiny, fit_tokenizer

TOKENIZER = fit_tokenizer(["go to the red ball"], (), 262)


def test_size_of_the_default() -> None:
    model = build_tiny(TinySettings(), TOKENIZER, seed=0)
    per_layer = 4 * 128 * 128 + 3 * 128 * 256 + 2 * 128
    assert model.num_parameters() == len(TOKENIZER) * 128 + 3 * per_layer + 128
    assert 512 * 128 + 3 * per_layer + 128 == pytest.approx(0.56e6, rel=0.01)
    assert model.dtype is torch.float32
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_weights_depend_on_the_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    models = [build_tiny(TinySettings(hidden=32, layers=1), TOKENIZER, seed) for seed in (0, 0, 1)]
    assert torch.rand(1) == expected
    first, same, other = (torch.cat([p.flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_heads_must_divide() -> None:
    with pytest.raises(ConfigError, match=r"model.hidden=100: .* 8; write for instance 96"):
        build_tiny(TinySettings(hidden=100), TOKENIZER, seed=0)
