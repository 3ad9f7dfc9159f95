"""Adapters, and policies that plain transformers and peft load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from depo_lightning.errors import ConfigError, DataError
from depo_lightning.models import (
    LoraSettings,
    TinySettings,
    add_lora,
    build_tiny,
    fit_tokenizer,
    load_policy,
    save_policy,
)

TOKENIZER = fit_tokenizer(["go to the red ball"], (), 262)
IDS = torch.tensor([TOKENIZER("go to the red ball").input_ids])


def tiny() -> LlamaForCausalLM:
    return build_tiny(TinySettings(hidden=32, layers=2, ff=64), TOKENIZER, seed=3)


def trained(settings: LoraSettings | None = None) -> PeftModel:
    """An adapted model whose adapters have moved away from their start, where they do nothing."""
    model = add_lora(tiny(), settings or LoraSettings(rank=4), seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def test_untrained_adapters_change_nothing_and_only_they_train() -> None:
    model = add_lora(tiny(), LoraSettings(rank=4))
    torch.testing.assert_close(logits(model), logits(tiny()))
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(names) == 2 * 7 * 2  # A and B of seven linear maps in each of two layers
    assert all("lora_" in name for name in names)
    assert not torch.allclose(logits(trained()), logits(tiny()), atol=1e-2)


def test_start_depends_on_the_seed() -> None:
    first, same, other = (
        torch.cat([p.flatten() for p in add_lora(tiny(), LoraSettings(rank=2), seed).parameters()])
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_targets_can_be_named() -> None:
    model = add_lora(tiny(), LoraSettings(rank=2, targets=("q_proj",)))
    assert all("q_proj" in name for name, parameter in model.named_parameters() if parameter.requires_grad)


def test_full_model_round_trip(tmp_path: Path) -> None:
    save_policy(tiny(), TOKENIZER, tmp_path / "full")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "full")
    ours, tokenizer = load_policy(tmp_path / "full")
    assert not ours.training
    assert torch.equal(logits(plain), logits(tiny()))
    assert torch.equal(logits(ours), logits(tiny()))
    assert tokenizer("go to").input_ids == TOKENIZER("go to").input_ids


def test_adapter_round_trip(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    save_policy(tiny(), TOKENIZER, base)
    save_policy(trained(), TOKENIZER, adapter, base=str(base))
    expected = logits(trained())
    torch.testing.assert_close(logits(AutoPeftModelForCausalLM.from_pretrained(adapter)), expected)
    onto = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    torch.testing.assert_close(logits(onto), expected)
    ours, _ = load_policy(adapter)
    assert isinstance(ours, LlamaForCausalLM)
    assert not ours.training
    torch.testing.assert_close(logits(ours), expected, atol=1e-5, rtol=1e-4)
    assert AutoTokenizer.from_pretrained(adapter).chat_template == TOKENIZER.chat_template
    assert not (adapter / "README.md").exists()


def test_a_small_change_of_16_bit_weights_is_not_rounded_away(tmp_path: Path) -> None:
    base = tiny().to(torch.bfloat16)
    save_policy(base, TOKENIZER, tmp_path / "base")
    model = add_lora(base, LoraSettings(rank=4), seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(2e-5 * torch.randn(parameter.shape, generator=generator))
    save_policy(model, TOKENIZER, tmp_path / "adapter", base="../base")

    def change(policy: Any) -> torch.Tensor:
        """Of the first query projection's weights, in exact arithmetic."""
        layer = policy.get_decoder().layers[0].self_attn.q_proj
        start = tiny().to(torch.bfloat16).model.layers[0].self_attn.q_proj.weight.double()
        whole = layer.weight.double() - start
        return whole + layer.get_delta_weight("default").double() if hasattr(layer, "get_delta_weight") else whole

    found, _ = load_policy(tmp_path / "adapter")
    expected = change(model)
    assert expected.norm() > 0
    torch.testing.assert_close(change(found), expected)
    rounded = change(model.merge_and_unload())
    assert (rounded - expected).norm() > 0.2 * expected.norm()  # what is avoided


def test_a_base_beside_the_adapter_is_found_after_both_moved(tmp_path: Path) -> None:
    save_policy(tiny(), TOKENIZER, tmp_path / "run" / "base")
    save_policy(trained(), TOKENIZER, tmp_path / "run" / "adapter", base="../base")
    (tmp_path / "run").rename(tmp_path / "moved")
    model, _ = load_policy(tmp_path / "moved" / "adapter")
    torch.testing.assert_close(logits(model), logits(trained()), atol=1e-5, rtol=1e-4)


def test_adapter_files_do_not_depend_on_the_process(tmp_path: Path) -> None:
    """Sets are written by PEFT in hash order, which differs from process to process."""
    save_policy(trained(), TOKENIZER, tmp_path / "here", base="b")
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_lora as t; "
        f"t.save_policy(t.trained(), t.TOKENIZER, {str(tmp_path / 'there')!r}, base='b')"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    ours, theirs = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("here", "there"))
    assert ours == theirs
    names = json.loads(ours["adapter_config.json"])["target_modules"]
    assert names == sorted(names)


def test_faults_are_the_users(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        LoraSettings(rank=0, alpha=0, dropout=1)
    assert len(caught.value.faults) == 3
    with pytest.raises(DataError, match="holds no policy"):
        load_policy(tmp_path)
    save_policy(trained(), TOKENIZER, tmp_path / "orphan")
    with pytest.raises(DataError, match="base_model_name_or_path is None"):
        load_policy(tmp_path / "orphan")
    save_policy(trained(), TOKENIZER, tmp_path / "lost", base=str(tmp_path / "gone"))
    with pytest.raises(DataError, match="gone' cannot be loaded"):
        load_policy(tmp_path / "lost")
