"""Masks under the chat templates of five model families, against renders of whole conversations."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from depo_lightning.agents.chat import ChatRenderer

TEMPLATES = Path(__file__).parent / "templates"
CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
# begin, end of turn, other control tokens; some families give the unknown token a control token's text
FAMILIES = {
    "smollm2": (None, "<|im_end|>", (*CHATML, "<repo_name>"), "<|endoftext|>"),
    "qwen2_5": (None, "<|im_end|>", CHATML, None),
    "llama3_1": (
        "<|begin_of_text|>",
        "<|eot_id|>",
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>"),
        None,
    ),
    "gemma": ("<bos>", "<eos>", ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<unk>"), "<unk>"),
    "mistral": ("<s>", "</s>", ("<s>", "</s>", "<unk>"), "<unk>"),
}
END_OF_TURN = {"gemma": "<end_of_turn>"}  # where it is not the tokenizer's end of sequence
REFUSES_SYSTEM = {"gemma", "mistral"}
MOVES_SYSTEM = """{%- set first = 1 if messages[0].role == 'system' else 0 %}{{ bos_token }}
{%- for m in messages[first:] %}{%- if m.role == 'user' %}{{- '[INST] ' }}
{%- if loop.last and first %}{{ messages[0].content + '\n\n' }}{%- endif %}{{- m.content + '[/INST]' }}
{%- else %}{{ m.content + eos_token }}{%- endif %}{%- endfor %}"""
CONVERSATIONS = 300  # per family and test: thousands in all
NEWLINES_FIRST = {"qwen2_5", "llama3_1"}  # a run of line ends is one piece there, whatever follows it
CUT = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
every_family = pytest.mark.parametrize("family", list(FAMILIES))


@cache
def backend(family: str) -> str:
    """A byte-level BPE as such models have, small, with the family's control tokens."""
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=family not in NEWLINES_FIRST)
    pieces = [pre_tokenizers.Split(CUT, behavior="isolated")] if family in NEWLINES_FIRST else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*pieces, words])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    texts = [*WORDS, "system user assistant model Cutting Knowledge Date: December 2023", "[INST] [/INST]"]
    tokenizer.train_from_iterator(texts * 5, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in FAMILIES[family][2]])
    return tokenizer.to_str()


@cache
def renderer(family: str) -> ChatRenderer:
    begin, end, _, unknown = FAMILIES[family]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(backend(family)), bos_token=begin, eos_token=end, unk_token=unknown
    )
    tokenizer.chat_template = (TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8")
    return ChatRenderer(tokenizer)


WORDS = [
    "Thought:\nThe red ball is right in front of me.\n\nAction:\ngo to red ball 1",
    "Thought:\n\n\nAction:\nturn left",
    'You see a blue key 2.\nAvailable actions: ["turn left", "move forward"]',
    "naïve café — 日本語 Ελλάδα 🙂 1,000",
    "  two blanks before",
    "and a line after\n",
    "{{ messages }} {% raw %} \\n ]] [",
    "Placeholder",
    "",
]
TRAPS = [token for _, _, control, _ in FAMILIES.values() for token in control] + ["[INST]", "[/INST]", "<<SYS>>"]


def conversation(rng: random.Random, traps: bool) -> tuple[str, list[str]]:
    """A system message, sometimes empty, and texts of the user and the agent in turn; the agent's is last."""
    pieces = WORDS + TRAPS if traps else WORDS
    texts = ["".join(rng.choices(pieces, k=rng.randint(1, 3))) for _ in range(2 * rng.randint(1, 4))]
    return rng.choice(["", "Be brief.", "You control an agent.\n\nAnswer <end>."]), texts


def messages_of(system: str, texts: list[str]) -> list[dict[str, str]]:
    chat = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *chat] if system else chat


def whole_render(family: str, system: str, texts: list[str]) -> str:
    """The conversation as the library renders it in one piece, without a generation prompt."""
    if system and family in REFUSES_SYSTEM:
        system, texts = "", [f"{system}\n\n{texts[0]}", *texts[1:]]
    text = renderer(family).tokenizer.apply_chat_template(
        messages_of(system, texts), tokenize=False, date_string="26 Jul 2024"
    )
    assert isinstance(text, str)
    return text


@every_family
@pytest.mark.parametrize("traps", [False, True])
def test_masked_tokens_are_the_agents_turns_and_nothing_else(family: str, traps: bool) -> None:
    rng, ours = random.Random(family), renderer(family)
    control = {ours.tokenizer.convert_tokens_to_ids(token) for token in FAMILIES[family][2]}
    end = END_OF_TURN.get(family, FAMILIES[family][1])
    for _ in range(CONVERSATIONS // 2):
        system, texts = conversation(rng, traps)
        encoded = ours.encode(messages_of(system, texts))
        said = [ours.tokenizer.decode(encoded.input_ids[start:stop]) for start, stop in encoded.spans]
        assert said == [turn + end for turn in texts[1::2]]
        plain = ours.encode(messages_of("x" if system else "", ["x"] * len(texts))).input_ids
        assert [i for i in encoded.input_ids if i in control] == [i for i in plain if i in control]


@every_family
def test_whole_conversations_have_the_librarys_text_and_tokens(family: str) -> None:
    """Up to the last end of turn: what a template writes behind it nobody is trained on or asked with."""
    rng, ours, same = random.Random(f"{family} whole"), renderer(family), 0
    for _ in range(CONVERSATIONS):
        system, texts = conversation(rng, traps=False)
        texts = [text.strip() or "ok" for text in texts]  # trimming templates cut what a rollout keeps
        ids = ours.encode(messages_of(system, texts)).input_ids
        whole = whole_render(family, system, texts)
        assert whole.startswith(ours.tokenizer.decode(ids))
        if all(turn[0].isascii() and turn[0].isalpha() for turn in texts[1::2]):  # else a token may span the boundary
            theirs = ours.tokenizer(whole, add_special_tokens=False)["input_ids"]
            assert theirs[: len(ids)] == ids
            assert len(theirs) - len(ids) <= 1
            same += 1
    assert same > CONVERSATIONS / 10


def test_what_the_templates_inject_is_outside_the_mask() -> None:
    for family, injected in (
        ("llama3_1", "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024"),
        ("qwen2_5", "You are Qwen, created by Alibaba Cloud."),
        ("smollm2", "You are a helpful AI assistant named SmolLM"),
    ):
        ours = renderer(family)
        encoded = ours.encode(messages_of("", ["see", "go"]))
        (start, _) = encoded.spans[0]
        assert injected in ours.tokenizer.decode(encoded.input_ids[:start])
        assert ours.encode(messages_of("Brief.", ["see", "go"])).spans[0][0] != start


@pytest.mark.parametrize("family", sorted(REFUSES_SYSTEM))
def test_a_refused_system_message_leads_the_first_observation(family: str) -> None:
    ours = renderer(family)
    folded = ours.encode(messages_of("Be brief.", ["see", "go", "ok", "stop"]))
    assert folded == ours.encode(messages_of("", ["Be brief.\n\nsee", "go", "ok", "stop"]))


def test_a_system_message_that_would_move_leads_the_first_observation() -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(backend("mistral")), bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = MOVES_SYSTEM
    encoded = ChatRenderer(tokenizer).encode(messages_of("Be brief.", ["see", "go", "ok", "stop"]))
    assert tokenizer.decode(encoded.input_ids) == "<s>[INST] Be brief.\n\nsee[/INST]go</s>[INST] ok[/INST]stop</s>"
    assert [tokenizer.decode(encoded.input_ids[slice(*span)]) for span in encoded.spans] == ["go</s>", "stop</s>"]
