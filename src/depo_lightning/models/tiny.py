"""A Llama small enough to train from scratch on a CPU within minutes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from depo_lightning.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TinySettings:
    """Shape of the model; with a vocabulary of 512 the defaults give 0.56 M parameters.

    Attributes:
        hidden: width of the residual stream; a multiple of twice `heads`.
        layers: number of decoder layers.
        ff: inner width of the gated feed-forward layers.
        heads: attention heads.
        max_positions: longest sequence in tokens.
        rope_theta: base of the rotary position encoding.
        initializer_range: standard deviation of new weights, above 0. The embeddings are tied: the logit of a token
            whose own embedding stands in the last layer is about `hidden` · `initializer_range`, 2.6 by default;
            hidden ** -0.5 makes it sqrt(hidden).
    """

    hidden: int = 128
    layers: int = 3
    ff: int = 256
    heads: int = 4
    max_positions: int = 2048
    rope_theta: float = 10_000.0
    initializer_range: float = 0.02


def build_tiny(settings: TinySettings, tokenizer: PreTrainedTokenizerBase, seed: int) -> LlamaForCausalLM:
    """A Llama in fp32 with tied embeddings and random weights that depend on `settings`, vocabulary and `seed` only.

    Raises:
        ConfigError: `hidden` cannot be split into heads of even width (rotary encoding turns pairs).
    """
    if settings.hidden % (2 * settings.heads):
        raise ConfigError(
            f"model.hidden={settings.hidden}: must be a multiple of 2 × model.heads = {2 * settings.heads}; "
            f"write for instance {2 * settings.heads * max(1, settings.hidden // (2 * settings.heads))}"
        )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        intermediate_size=settings.ff,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.max_positions,
        initializer_range=settings.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).float()
    model.set_attn_implementation("sdpa")
    return model
