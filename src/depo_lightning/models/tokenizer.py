"""A small tokenizer fitted on the training texts, for models trained from scratch."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from depo_lightning.errors import ConfigError

PAD, USER, ASSISTANT, END = SPECIAL_TOKENS = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")
_BYTES = 256
_WORDS = r"\s*[\r\n]+| ?\p{N}| ?[\p{L}\p{M}]+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+"
CHAT_TEMPLATE = """\
{#- A model trained from scratch learns its task from examples alone: system messages are left out. -#}
{%- for message in messages -%}
    {%- if message.role == 'user' -%}
        {{- '<|user|>' + message.content -}}
    {%- elif message.role == 'assistant' -%}
        {{- '<|assistant|>' -}}
        {%- generation -%}{{- message.content + '<|end|>' -}}{%- endgeneration -%}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def fit_tokenizer(texts: Iterable[str], phrases: Sequence[str] = (), vocab_size: int = 512) -> PreTrainedTokenizerFast:
    """Fit a byte-level BPE tokenizer that keeps protocol phrases whole.

    Text is first cut into the phrases, single digits, words and punctuation, each with the blank before it. Every
    phrase that occurs in `texts` is one token (the most frequent ones, should they not all fit), so that copying an
    object's name is copying one token. The rest of the vocabulary is byte-pair merges; single bytes guarantee that any
    text survives encoding and decoding.

    Args:
        texts: training texts, read twice; the same texts in the same order give the same tokenizer, byte for byte. A
            list, or what reads a file anew each time.
        phrases: regular expressions in the common subset of Python and Oniguruma, longest first.
        vocab_size: upper bound, special tokens and the 256 bytes included.

    Raises:
        ConfigError: `vocab_size` has no room for the bytes, or a phrase is no regular expression.
    """
    least = len(SPECIAL_TOKENS) + _BYTES
    if vocab_size < least:
        raise ConfigError(f"model.vocab_size={vocab_size}: special tokens and bytes alone take {least}; raise it")
    corpus = list(texts) if isinstance(texts, Iterator) else texts  # which can be read once only
    whole = _phrases_in(corpus, phrases)[: vocab_size - least]
    cut = Regex("|".join([*(f"(?:{phrase})" for phrase in phrases), _WORDS]))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(cut, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(whole),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.model = _with_whole_words(tokenizer, whole)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _phrases_in(texts: Iterable[str], phrases: Sequence[str]) -> list[str]:
    """The distinct matches of the phrases, most frequent first, ties in order of the alphabet."""
    if not phrases:
        return []
    try:
        pattern = re.compile("|".join(f"(?:{phrase})" for phrase in phrases))
    except re.error as error:
        raise ConfigError(f"env.phrases={list(phrases)!r}: not regular expressions: {error}") from error
    counts: Counter[str] = Counter()
    # The episodes of one search tree stand together and say much twice.
    find = lru_cache(maxsize=1024)(lambda text: [match[0] for match in pattern.finditer(text)])
    for text in texts:
        counts.update(find(text))
    counts.pop("", None)
    return sorted(counts, key=lambda phrase: (-counts[phrase], phrase))


def _with_whole_words(tokenizer: Tokenizer, words: Sequence[str]) -> models.BPE:
    """The trained BPE with `words` as tokens of their own.

    With `ignore_merges` a piece that stands in the vocabulary becomes that token without passing through merges.
    """
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    vocab: dict[str, int] = model["vocab"]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for word in words:
        token = "".join(piece for piece, _ in to_bytes.pre_tokenize_str(word))
        vocab.setdefault(token, len(vocab))
    merges = [(left, right) for left, right in model["merges"]]
    return models.BPE(vocab=vocab, merges=merges, ignore_merges=True)
