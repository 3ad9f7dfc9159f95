"""Pretrained models: 7B shapes without weights, loading, and adapters that become weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from depo_lightning.choices import Attention, Dtype
from depo_lightning.config import Config
from depo_lightning.errors import ConfigError
from depo_lightning.models import LoraSettings, TinySettings, add_lora, build_tiny, fit_tokenizer, save_policy
from depo_lightning.models.lora import merged
from depo_lightning.models.pretrained import LoadSettings, architecture, load_pretrained, lora_faults, skeleton
from depo_lightning.modules.attention import supports_packing
from depo_lightning.rollouts import RolloutSettings
from depo_lightning.rollouts.settings import check_play

ARCHITECTURES = Path(__file__).parent / "architectures"
PARAMETERS = {"llama3_1_8b": (8_030_261_248, 32), "qwen2_5_7b": (7_615_616_512, 28)}  # as published; and layers
HUB = {"llama3_1_8b": "meta-llama/Llama-3.1-8B-Instruct", "qwen2_5_7b": "Qwen/Qwen2.5-7B-Instruct"}
every_large = pytest.mark.parametrize("name", sorted(PARAMETERS))
TOKENIZER = fit_tokenizer(["go to the red ball"], (), 262)
IDS = torch.tensor([TOKENIZER("go to the red ball").input_ids])


def values_of(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((ARCHITECTURES / f"{name}.json").read_text())
    return values


def tiny(seed: int = 3) -> Any:
    return build_tiny(TinySettings(hidden=32, layers=2, ff=64), TOKENIZER, seed).eval()


def adapted(model: Any) -> Any:
    wrapped = add_lora(model, LoraSettings(rank=4), seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape))
    return wrapped.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        values: torch.Tensor = model(IDS).logits
    return values


@every_large
def test_large_models_stand_without_weights(name: str, compose_config: Callable[..., Config]) -> None:
    config: Any = compose_config(f"model={name}")
    assert config.model.path == HUB[name]
    model = skeleton(architecture(values_of(name)))
    parameters, layers = PARAMETERS[name]
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert all(parameter.is_meta for parameter in model.parameters())
    assert supports_packing(model)
    check_play(model, [0, 1], RolloutSettings(max_context=config.rollout.max_context, max_new_tokens=64))
    wrapped = add_lora(model, LoraSettings(rank=8))
    trained = {path for path, parameter in wrapped.named_parameters() if parameter.requires_grad}
    assert len(trained) == layers * 7 * 2
    assert not any("lm_head" in path for path in trained)


@every_large
def test_targets_are_checked_without_weights(name: str) -> None:
    config = architecture({**values_of(name), "num_hidden_layers": 2})
    for targets in ("all-linear", ["q_proj", "v_proj"], r".*\.self_attn\.[qkvo]_proj"):
        assert lora_faults(config, LoraSettings(targets=targets), "bc.lora") == []
    (fault,) = lora_faults(config, LoraSettings(targets=["query_key_value"]), "bc.lora")
    for word in ("bc.lora.targets", "query_key_value", "gate_proj", "all-linear"):
        assert word in fault


def test_an_unknown_architecture_is_the_users_fault() -> None:
    with pytest.raises(ConfigError, match="does not know"):
        architecture({"model_type": "nothing_known"})


def test_dtype_follows_the_device() -> None:
    assert LoadSettings().torch_dtype is torch.float32
    assert LoadSettings(on_gpu=True).torch_dtype is torch.bfloat16


def test_a_directory_loads_with_its_settings(tmp_path: Path) -> None:
    save_policy(tiny(), TOKENIZER, tmp_path)
    model = load_pretrained(tmp_path, LoadSettings())
    torch.testing.assert_close(logits(model), logits(tiny()))
    other = load_pretrained(tmp_path, LoadSettings(dtype=Dtype.bfloat16, attention=Attention.eager))
    assert other.dtype is torch.bfloat16
    assert other.config._attn_implementation == "eager"
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_pretrained(tmp_path, LoadSettings())
    weights.unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_pretrained(tmp_path, LoadSettings())


def test_adapters_become_weights_of_a_plain_checkpoint(tmp_path: Path) -> None:
    expected = logits(adapted(tiny()))
    assert not torch.allclose(expected, logits(tiny()), atol=1e-2)
    save_policy(merged(adapted(tiny())), TOKENIZER, tmp_path)
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(tmp_path)), expected, atol=1e-5, rtol=1e-4)
    plain = tiny()
    assert merged(plain) is plain


def test_adapters_move_to_the_base_in_full_precision() -> None:
    """What a base in 4 bit needs; another seed's weights stand in for the coarser ones."""
    coarse = adapted(tiny(seed=4))
    torch.testing.assert_close(logits(merged(coarse, base=tiny())), logits(adapted(tiny())), atol=1e-5, rtol=1e-4)
