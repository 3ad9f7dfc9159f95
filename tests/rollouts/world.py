"""A small world for rollouts: an environment, a tokenizer fitted on it, and models with random weights."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.envs.base import Split, StepResult, TextEnv
from depo_lightning.models import LoraSettings, add_lora, fit_tokenizer
from depo_lightning.rollouts import RolloutSettings
from depo_lightning.trajectory import Trajectory

COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
OBJECTS = ("ball", "key", "box")
PHRASES = (rf" (?:{'|'.join(COLOURS)}) (?:{'|'.join(OBJECTS)})",)


def describe(generator: random.Random) -> str:
    things = [
        f" a {generator.choice(COLOURS)} {generator.choice(OBJECTS)} {generator.randint(1, 12)}" for _ in range(3)
    ]
    return "You see" + ",".join(things[: generator.randint(1, 3)]) + "."


class FakeEnv(TextEnv):
    """Answers depend on task and past actions; ends with the given chance per step; refuses the empty action."""

    name = "fake"
    system_prompt = "Find the ball."
    phrases = PHRASES
    end_chance = 0.25

    def reset(self, task: int) -> str:
        self.generator = random.Random(task)
        return "Goal: " + describe(self.generator)

    def step(self, action: str) -> StepResult:
        self.generator = random.Random(zlib.crc32(action.encode()) ^ self.generator.getrandbits(30))
        done = self.generator.random() < self.end_chance
        return StepResult(describe(self.generator), 0.9 * done, done, valid=bool(action), success=done)

    def actions(self) -> list[str]:
        return ["go"]

    def snapshot(self) -> Any:
        return self.generator.getstate()

    def restore(self, mark: Any) -> None:
        self.generator.setstate(mark)

    def tasks(self, split: Split, count: int) -> list[int]:
        return list(range(count))

    def level(self, task: int) -> str:
        return f"level {task % 3}"


_generator = random.Random(0)
TOKENIZER = fit_tokenizer([describe(_generator) for _ in range(200)], PHRASES, 300)
RENDERER = ChatRenderer(TOKENIZER)
SETTINGS = RolloutSettings(max_steps=5, max_new_tokens=8, temperature=1.0, batch_size=32, max_context=220)
TASKS = list(range(32))


def randomised(model: PreTrainedModel, eot_scale: float = 1.0) -> PreTrainedModel:
    """Weights large enough for varied text, in float64; the end-of-turn token is made more or less likely."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name and "ln_" not in name:
                parameter.normal_(0, 0.25)
        model.get_output_embeddings().weight[TOKENIZER.eos_token_id] *= eot_scale
    return model.double().eval()


def llama(kv_heads: int = 4, eot_scale: float = 2.5) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=256,
        attn_implementation="sdpa",
    )
    return randomised(LlamaForCausalLM(config), eot_scale)


def gpt2() -> PreTrainedModel:
    config = GPT2Config(vocab_size=len(TOKENIZER), n_embd=32, n_layer=2, n_head=4, n_positions=220)
    return randomised(GPT2LMHeadModel(config), eot_scale=2.5)


MODEL = llama()


def adapted() -> PreTrainedModel:
    model = add_lora(llama(), LoraSettings(rank=2))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.2)
    return model.double()


def record(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Without the wall clock."""
    clocks = {"seconds", "turn_seconds"}
    timeless = [{key: value for key, value in t.extra.items() if key not in clocks} for t in trajectories]
    return [replace(t, extra=extra) for t, extra in zip(trajectories, timeless, strict=True)]
