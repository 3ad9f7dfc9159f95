"""What Lightning is told of several devices; sharding itself needs GPUs."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy
from torch import nn
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from depo_lightning.config import Strategy, TrainerConfig
from depo_lightning.errors import ConfigError
from depo_lightning.stages.strategies import decoder_layers, shared, whole_again
from depo_lightning.team import Team


@pytest.fixture
def model() -> LlamaForCausalLM:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes))


def test_processes_are_told_apart() -> None:
    trainer = TrainerConfig(devices=2, nodes=3, strategy=Strategy.ddp)
    strategy = shared(trainer, Team(rank=5, size=6, local=1), nn.Linear(1, 1))
    assert isinstance(strategy, DDPStrategy)
    environment = strategy.cluster_environment
    assert environment is not None
    assert environment.creates_processes_externally
    numbers = (environment.world_size(), environment.global_rank(), environment.local_rank(), environment.node_rank())
    assert numbers == (6, 5, 1, 2)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_shards_are_decoder_layers(model: LlamaForCausalLM, checkpointing: bool) -> None:
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
    trainer = TrainerConfig(devices=2, strategy=Strategy.fsdp, gradient_checkpointing=checkpointing)
    strategy = shared(trainer, Team(0, 2), adapted)
    assert isinstance(strategy, FSDPStrategy)
    policy = strategy.kwargs["auto_wrap_policy"]
    assert isinstance(policy, ModuleWrapPolicy)
    assert policy._module_classes == {LlamaDecoderLayer}
    assert strategy.kwargs["use_orig_params"]
    assert bool(strategy._activation_checkpointing_kwargs) == checkpointing


def test_a_model_without_layers_cannot_be_sharded() -> None:
    with pytest.raises(ConfigError, match="_no_split_modules"):
        decoder_layers(nn.Linear(1, 1))


def test_what_was_not_sharded_is_whole(model: LlamaForCausalLM) -> None:
    before = [parameter.clone() for parameter in model.parameters()]
    whole_again(model, DDPStrategy())
    assert all(map(torch.equal, model.parameters(), before))
