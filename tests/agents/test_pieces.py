"""Tokenizers that put a blank before a text, as Llama 2's and Mistral's do: pieces must join to the whole render."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.agents.pieces import Pieces
from depo_lightning.errors import ConfigError
from depo_lightning.models.tokenizer import fit_tokenizer

MISTRAL = (Path(__file__).parent / "templates" / "mistral.jinja").read_text()
LLAMA2 = """{%- for m in messages %}{%- if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}
{%- else %}{{ ' ' + m.content + ' ' + eos_token }}{%- endif %}{%- endfor %}"""
CONTROLLED = """{{ bos_token }}{%- for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{%- endif %}"""
TEMPLATES = {"mistral": MISTRAL, "llama2": LLAMA2, "controlled": CONTROLLED}
KINDS = ("prepend", "always", "first")
CONTROL = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
every_tokenizer = pytest.mark.parametrize("kind", KINDS)
every_template = pytest.mark.parametrize("template", list(TEMPLATES))


@cache
def backend(kind: str) -> str:
    """A BPE over words with marked blanks that falls back to bytes, as SentencePiece models are converted."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if kind == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind, split=False)
    letters = list("abcdefghijklmnopqrstuvwxyz▁[]/INST:\n0123456789")
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=CONTROL[:3], initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator(
        ["go to red ball", "You see a key 2", "Thought: I see", "[INST] [/INST]"] * 9, trainer
    )
    values = json.loads(tokenizer.to_str())
    for byte in range(256):
        values["model"]["vocab"].setdefault(f"<0x{byte:02X}>", len(values["model"]["vocab"]))
    tokenizer = Tokenizer.from_str(json.dumps(values))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer.to_str()


def a_tokenizer(kind: str, template: str = "mistral") -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(backend(kind)), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = TEMPLATES[template]
    return tokenizer


def chat(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def words(random_: random.Random, count: int) -> str:
    return "".join(random_.choices(["go", " ", "red ball", "2", "\n", "é", " see", "I"], k=count)).strip(" ")


# Upper-case turns do not merge with what stands before them, so that the whole render has their cut too.
@every_tokenizer
@every_template
def test_ids_are_the_whole_renders(kind: str, template: str) -> None:
    tokenizer = a_tokenizer(kind, template)
    ours, random_ = ChatRenderer(tokenizer), random.Random(0)
    for _ in range(30):
        texts = [f"U{words(random_, 5)}V" for _ in range(5)]
        whole = tokenizer.apply_chat_template(chat(*texts), tokenize=False, add_generation_prompt=True)
        if template == "llama2":  # it puts a blank after a turn, which a rollout does not generate
            whole = whole.replace("V </s>", "V</s>")
        encoded = ours.encode(chat(*texts))
        assert encoded.input_ids == tokenizer(whole, add_special_tokens=False)["input_ids"]
        joined = ours.prompt_ids(chat(texts[0]))
        for index in (1, 3):
            joined += ours.turn_ids(texts[index]) + ours.next_prompt_ids(chat(*texts[: index + 2]))
        assert joined == encoded.input_ids
        spans = [encoded.input_ids[start:end] for start, end in encoded.spans]
        assert [ours.turn_text(ids) for ids in spans] == texts[1::2]


@every_tokenizer
def test_blanks_of_a_turn_are_kept(kind: str) -> None:
    ours = ChatRenderer(a_tokenizer(kind))
    for said in ("  turn left", " go", "go", "", "a </s> b"):
        assert ours.turn_text(ours.turn_ids(said)) == said
        ids = ours.encode(chat("see", said)).input_ids
        said_ids = ids[len(ours.prompt_ids(chat("see"))) : -1]
        assert ours.tokenizer.convert_ids_to_tokens(said_ids)[:1] != ["▁go"] or said == " go"


@every_tokenizer
@every_template
def test_look_alikes_get_no_blanks(kind: str, template: str) -> None:
    tokenizer = a_tokenizer(kind, template)
    ours = ChatRenderer(tokenizer)
    for texts in (["a </s> b"], ["see", "Go", "</s>"], ["see", "Go", "<s>go </s>"]):
        ids = ours.encode(chat(*texts)).input_ids
        plain = [text.replace("</s>", "QXQ").replace("<s>", "XQ") for text in texts]
        expected = ours.encode(chat(*plain)).input_ids
        control = [[i for i in row if i in tokenizer.all_special_ids] for row in (ids, expected)]
        assert control[0] == control[1]
        blanks = ["".join(tokenizer.convert_ids_to_tokens(row)).count("▁") for row in (ids, expected)]
        assert blanks[0] == blanks[1]


def test_tokenizers_that_add_nothing_are_used_as_they_are() -> None:
    assert Pieces(fit_tokenizer(["You see a red ball"], [], 300))._bare is None


class Slow:
    """A tokenizer without a `tokenizer.json` that puts a blank before each text."""

    name_or_path = "slow"
    added_tokens_decoder: ClassVar[dict[int, AddedToken]] = {}
    all_special_ids = (0,)

    def __call__(self, text: str, **options: bool) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in f"▁{text}"]}


def test_one_that_cannot_be_kept_from_blanks_is_refused() -> None:
    slow: PreTrainedTokenizerBase = Slow()  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="blank before each text"):
        Pieces(slow)
