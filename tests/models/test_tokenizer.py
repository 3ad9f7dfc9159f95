"""The fitted tokenizer: whole phrases, any text back and forth, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from depo_lightning.errors import ConfigError
from depo_lightning.models.tokenizer import fit_tokenizer

TEXTS = [
    "Your goal: go to the red ball",
    "There is a red ball 12 2 steps in front of you.",
    "There is a blue closed door 1  right in front of you",
    "Thought:\nI go.\n\nAction:\ngo to red ball 12",
] * 5
PHRASES = (r" (?:red|blue) closed door", r" (?:red|blue|green) (?:ball|key)")


def fit(vocab_size: int = 400) -> PreTrainedTokenizerFast:
    return fit_tokenizer(TEXTS, PHRASES, vocab_size)


TOKENIZER = fit()


def test_cuts_phrases_digits_and_words() -> None:
    pieces = [TOKENIZER.decode([i]) for i in TOKENIZER("There is a red ball 12, a blue closed door.\n\nIs").input_ids]
    expected = ["There", " is", " a", " red ball", " 1", "2", ",", " a", " blue closed door", ".", "\n\n"]
    assert pieces[: len(expected)] == expected


def test_a_phrase_that_never_occurred_is_spelled_from_parts() -> None:
    ids = TOKENIZER(" green key").input_ids
    assert len(ids) > 1
    assert TOKENIZER.decode(ids) == " green key"


def test_the_most_frequent_phrases_win_where_room_is_short() -> None:
    small = fit_tokenizer([*TEXTS, " blue key"], PHRASES, 262)
    assert len(small) == 262
    assert [len(small(text).input_ids) for text in (" red ball", " blue closed door")] == [1, 1]
    assert len(small(" blue key").input_ids) > 1


@given(st.text(st.characters(exclude_categories=("Cs",))))
@settings(max_examples=200, deadline=None)
def test_any_text_survives(text: str) -> None:
    ids = TOKENIZER(text, split_special_tokens=True).input_ids
    assert TOKENIZER.decode(ids) == text


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_texts_same_bytes_and_it_loads(tmp_path: Path) -> None:
    fit().save_pretrained(tmp_path / "a")
    fit().save_pretrained(tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "a")
    chat = [{"role": "user", "content": " red ball?"}, {"role": "assistant", "content": "12"}]
    assert loaded.apply_chat_template(chat) == TOKENIZER.apply_chat_template(chat)
    loaded.save_pretrained(tmp_path / "c")
    assert AutoTokenizer.from_pretrained(tmp_path / "c")(TEXTS[1]).input_ids == TOKENIZER(TEXTS[1]).input_ids


def test_template_marks_the_agents_turn_and_leaves_the_system_out() -> None:
    chat = [
        {"role": "system", "content": "secret"},
        {"role": "user", "content": " see"},
        {"role": "assistant", "content": "\ngo "},
    ]
    assert TOKENIZER.apply_chat_template(chat, tokenize=False) == "<|user|> see<|assistant|>\ngo <|end|>"
    assert TOKENIZER.apply_chat_template(chat[:2], tokenize=False, add_generation_prompt=True) == (
        "<|user|> see<|assistant|>"
    )
    marked = TOKENIZER.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    turn = [i for i, own in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if own]
    assert TOKENIZER.decode(turn) == "\ngo <|end|>"


def test_faults_are_the_users() -> None:
    with pytest.raises(ConfigError, match=r"vocab_size=100: .* 260"):
        fit_tokenizer(TEXTS, (), 100)
    with pytest.raises(ConfigError, match="not regular expressions"):
        fit_tokenizer(TEXTS, ("(",), 300)
