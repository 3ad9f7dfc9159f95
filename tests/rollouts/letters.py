"""A model whose turns, as text, are tokenised as they were generated: what a server is sent is what was said."""

from __future__ import annotations

import torch
from tests.rollouts.world import TOKENIZER
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from depo_lightning.agents.chat import ChatRenderer


def letters() -> PreTrainedTokenizerFast:
    """A tokenizer in which any tokens are the tokens of their own text, so that a server sees what was generated."""
    control = sorted(token for token in TOKENIZER.get_vocab() if token.startswith("<|"))  # a vocabulary has no order
    pieces = [*control, "Action:", *map(chr, [10, *range(32, 127)])]
    tokenizer = Tokenizer(models.WordLevel({piece: index for index, piece in enumerate(pieces)}, unk_token="~"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"Action:|[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TOKENIZER.eos_token,
        pad_token=TOKENIZER.pad_token,
        additional_special_tokens=[
            token for token in control if token not in (TOKENIZER.eos_token, TOKENIZER.pad_token)
        ],
        chat_template=TOKENIZER.chat_template,
        clean_up_tokenization_spaces=False,
    )


LETTERS = letters()
RENDERER = ChatRenderer(LETTERS)


def llama() -> PreTrainedModel:
    """Random weights that end turns now and then, act often, and say no other control token."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(LETTERS),
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        num_attention_heads=4,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=RENDERER.eot_id,
        pad_token_id=LETTERS.pad_token_id,
    )
    model = LlamaForCausalLM(config).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(0, 0.3)
        head = model.get_output_embeddings().weight
        head[LETTERS.all_special_ids] = 0
        head[RENDERER.eot_id].normal_(0, 0.7)
        head[LETTERS.convert_tokens_to_ids("Action:")].normal_(0, 0.5)
    return model


MODEL = llama()
