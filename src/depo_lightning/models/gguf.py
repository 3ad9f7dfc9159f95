"""GGUF files as plain checkpoints: dequantised weights, and the tokenizer that the model was trained with."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from depo_lightning.errors import DataError


def dequantise(path: Path, target: Path) -> None:
    """Write a GGUF file's model in fp32 and its tokenizer to `target`, as `transformers` saves them.

    Raises:
        DataError: the file is damaged, or its architecture unknown.
    """
    try:
        load_gguf_tokenizer(path).save_pretrained(target)
        _load(path).save_pretrained(target)
    except (ValueError, KeyError, RuntimeError, IndexError) as error:
        raise DataError(f"{path}: cannot be read as a GGUF model: {error}") from error


def _load(path: Path) -> PreTrainedModel:
    """The model without the marks of quantisation, with which it would refuse to be saved."""
    packed = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    config = type(packed.config)(**{k: v for k, v in packed.config.to_dict().items() if k != "quantization_config"})
    with torch.device("meta"):
        model: PreTrainedModel = type(packed)(config)
    model.load_state_dict(packed.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = packed.generation_config
    return model


def load_gguf_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a GGUF file; it cuts text as the one in `tokenizer.ggml.pre` does.

    `transformers` gives every byte-level BPE GPT-2's way of cutting. SmolLM's cuts digits off first, which decides how
    the blanks before a number are tokenised.
    """
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    if _pre_tokenizer(path) == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    return tokenizer


def _pre_tokenizer(path: Path) -> str:
    from gguf import GGUFReader

    field = GGUFReader(path).get_field("tokenizer.ggml.pre")
    return "" if field is None else str(field.contents())
