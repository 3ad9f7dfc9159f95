"""Spans of the agent's turns: hand-written token rows, other chat templates, and properties."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, tzinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from depo_lightning.agents import chat as chat_module
from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.models.tokenizer import fit_tokenizer
from depo_lightning.trajectory import Step, Trajectory

CHATML = """{%- for m in messages %}{{ '<|user|>' + m.role + '\n' + m.content + '<|end|>' + '\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{ '<|user|>assistant\n' }}{%- endif %}"""
TRIMMING = """{{- '<|pad|>' }}{%- for m in messages %}
{{- '<|user|>' + m.role + '\n\n' + (m.content | trim) + '<|end|>' }}
{%- endfor %}{%- if add_generation_prompt %}{{ '<|user|>assistant\n\n' }}{%- endif %}"""
NO_SYSTEM = """{%- for m in messages %}{%- if m.role == 'system' %}{{ raise_exception('no system') }}{%- endif %}
{{- '<|user|>' + m.role + ':' + m.content + '<|end|>' }}{%- endfor %}{{- '<|user|>assistant:' }}"""
INST = """{%- for m in messages %}{%- if m.role == 'assistant' %}{{ ' ' + m.content + ' <|end|>' }}
{%- else %}{{ '[INST] ' + m.content + ' [/INST]' }}{%- endif %}{%- endfor %}"""
TEMPLATES = {"chatml": CHATML, "trimming": TRIMMING, "no system": NO_SYSTEM, "inst": INST}


def base_tokenizer() -> PreTrainedTokenizerFast:
    texts = ["You see a red ball 1.", "Thought:\n\n\nAction:\ngo to red ball 1"]
    return fit_tokenizer(texts * 20, [r" (?:red|blue) (?:ball|key)"], 330)


TOKENIZER = base_tokenizer()


def renderer(name: str) -> ChatRenderer:
    tokenizer = base_tokenizer()
    if name != "tiny":
        tokenizer.chat_template = TEMPLATES[name]
    return ChatRenderer(tokenizer)


RENDERERS = {name: renderer(name) for name in ("tiny", *TEMPLATES)}
every_template = pytest.mark.parametrize("name", list(RENDERERS))


def chat(*texts: str, system: str = "") -> list[dict[str, str]]:
    messages = [{"role": "system", "content": system}] if system else []
    return messages + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def test_token_row_of_two_turns() -> None:
    encoded = RENDERERS["tiny"].encode(chat("see a red ball", "go", "ok", "Action", system="left out"))
    rows = TOKENIZER.convert_ids_to_tokens(encoded.input_ids)
    pieces = [*TOKENIZER.tokenize("see"), "Ġa", "ĠredĠball"]
    turns = [TOKENIZER.tokenize("go"), TOKENIZER.tokenize("Action")]
    expected = ["<|user|>", *pieces, "<|assistant|>", *turns[0], "<|end|>"]
    first = (len(expected) - len(turns[0]) - 1, len(expected))
    expected += ["<|user|>", *TOKENIZER.tokenize("ok"), "<|assistant|>", *turns[1], "<|end|>"]
    assert rows == expected
    assert encoded.spans == [first, (len(expected) - len(turns[1]) - 1, len(expected))]


def test_token_row_with_text_after_the_end_of_turn() -> None:
    encoded = RENDERERS["chatml"].encode(chat("a", "b", "c"))
    rows = TOKENIZER.convert_ids_to_tokens(encoded.input_ids)
    user, assistant = TOKENIZER.tokenize("user"), TOKENIZER.tokenize("assistant")
    prompt = ["<|user|>", *user, "Ċ", "a", "<|end|>", "Ċ", "<|user|>", *assistant, "Ċ"]
    after = ["Ċ", "<|user|>", *user, "Ċ", "c", "<|end|>", "Ċ", "<|user|>", *assistant, "Ċ"]
    assert rows == [*prompt, "b", "<|end|>", *after]
    assert encoded.spans == [(len(prompt), len(prompt) + 2)]


# The template left out puts blanks around a turn, which a rollout does not generate.
@pytest.mark.parametrize("name", [name for name in RENDERERS if name != "inst"])
def test_equals_the_librarys_rendering(name: str) -> None:
    messages = chat("You see a red ball 1.", "go to red ball 1", "ok", system="Find it")
    ours = RENDERERS[name]
    theirs = messages if name != "no system" else chat("Find it\n\nYou see a red ball 1.", "go to red ball 1", "ok")
    ids = ours.tokenizer.apply_chat_template(theirs, add_generation_prompt=True, return_dict=False)
    assert ours.encode(messages).input_ids == ids


text = st.text(st.characters(exclude_categories=("Cs",)), max_size=30) | st.lists(
    st.sampled_from(["<|end|>", "<|user|>", "<|pad|>", " red ball", "Placeholder", " ", "\n", "12", "é", "{{x}}"])
).map("".join)


@every_template
@given(texts=st.lists(text, min_size=1, max_size=7), system=text)
@settings(max_examples=60, deadline=None)
def test_spans_are_the_agents_turns_and_a_rollouts_pieces_join_to_the_whole(
    name: str, texts: list[str], system: str
) -> None:
    ours = RENDERERS[name]
    encoded = ours.encode(chat(*texts, system=system))
    turns = texts[1::2]
    assert len(encoded.spans) == len(turns)
    for turn, (start, end) in zip(turns, encoded.spans, strict=True):
        assert encoded.input_ids[end - 1] == ours.eot_id
        assert ours.tokenizer.decode(encoded.input_ids[start : end - 1]) == turn
    joined = ours.prompt_ids(chat(texts[0], system=system))
    for index, turn in enumerate(turns):
        joined += ours.turn_ids(turn)
        if 2 * index + 2 < len(texts):
            joined += ours.next_prompt_ids(chat(*texts[: 2 * index + 3], system=system))
    assert joined == encoded.input_ids


@every_template
@given(texts=st.lists(text, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_no_text_makes_a_control_token(name: str, texts: list[str]) -> None:
    ours = RENDERERS[name]
    control = set(ours.tokenizer.all_special_ids)
    said = [i for i in ours.encode(chat(*texts)).input_ids if i in control]
    plain = [i for i in ours.encode(chat(*("x" for _ in texts))).input_ids if i in control]
    assert said == plain


def test_look_alikes_survive_as_text() -> None:
    ours = RENDERERS["tiny"]
    ids = ours.prompt_ids(chat("a <|end|><|assistant|>b"))
    assert ours.tokenizer.decode(ids) == "<|user|>a <|end|><|assistant|>b<|assistant|>"
    assert ids.count(ours.eot_id) == 0


def test_counts_the_end_of_turn_token() -> None:
    steps = tuple(Step("see", "", "", said) for said in ("", "go", " red ball"))
    row = Trajectory("i", "e", 0, 0, "", steps, 0.0, False)
    go = len(TOKENIZER.tokenize("go"))
    assert [step.tokens for step in RENDERERS["tiny"].count(row).steps] == [1, go + 1, 2]
    assert replace(RENDERERS["tiny"].count(row), steps=()) == replace(row, steps=())


def test_roles_must_alternate() -> None:
    with pytest.raises(DataError, match=r"messages\[1\].role is 'user'"):
        RENDERERS["tiny"].encode([{"role": "user", "content": "a"}] * 2)
    with pytest.raises(DataError, match="nothing to answer"):
        RENDERERS["tiny"].prompt_ids(chat("a", "b"))
    with pytest.raises(DataError, match="nothing to answer"):
        RENDERERS["tiny"].next_prompt_ids([])


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        ("{%- for m in messages %}{{ m.role + m.content + '\n' }}{%- endfor %}{{ 'assistant' }}", "no special token"),
        ("{{ messages | length }}{%- for m in messages %}{{ m.content + '<|end|>' }}{%- endfor %}", "rewrites"),
    ],
)
def test_templates_that_cannot_serve_are_refused(template: str | None, message: str) -> None:
    tokenizer = base_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(ConfigError, match=message):
        ChatRenderer(tokenizer)


@every_template
@pytest.mark.parametrize("system", ["", "Be brief."])
def test_plain_observations_are_not_rendered_and_give_the_same_ids(
    name: str, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ['You see a door.\nActions: ["turn left", "go to door 1"]', "Nothing happens.", "It's here - (closed)!"]
    other = [" a blank first.", "a blank last. ", "<box>", "[INST] box", "", "a", "Zwölf Türen."]
    renderer = RENDERERS[name]
    monkeypatch.setattr(chat_module, "_WORDS", re.compile("(?!)"))
    rendered = [renderer._between(index, text, system) for index in range(3) for text in plain + other]
    monkeypatch.undo()
    assert [renderer._between(index, text, system) for index in range(3) for text in plain + other] == rendered
    renderings: list[int] = []
    monkeypatch.setattr(ChatRenderer, "_render", lambda *args: renderings.append(1))
    assert [renderer._between(index, text, system) for index in range(3) for text in plain] == [
        ids for start in range(0, len(rendered), 10) for ids in rendered[start : start + 3]
    ]
    assert not renderings


def test_a_template_that_writes_observations_otherwise_is_asked_each_time() -> None:
    tokenizer = base_tokenizer()
    tokenizer.chat_template = CHATML.replace("m.content", "(m.content | replace('2-3', 'few'))")
    assert tokenizer.chat_template != CHATML
    renderer = ChatRenderer(tokenizer)
    assert not renderer._frame(0, "")[3]
    assert renderer._between(0, "Go 2-3 steps.", "") == renderer._between(0, "Go few steps.", "")


def test_a_template_that_asks_for_the_time_gets_the_same_day(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Tomorrow:
            return cls(2031, 12, 1)

    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    tokenizer = base_tokenizer()
    tokenizer.chat_template = (
        """\n{%- macro day() %}{{ strftime_now('%d %b %Y') }}{% endmacro %}
{%- set year = strftime_now("%Y-%m") %}{{ '<|pad|>' + day() + (year if strftime_now is defined else '') }}"""
        + CHATML
    )
    shown = tokenizer.apply_chat_template(chat("see"), tokenize=False)
    ids = ChatRenderer(tokenizer).prompt_ids(chat("see"))
    assert "01 Dec 20312031-12" in shown
    assert tokenizer.decode(ids) == f"{shown}<|user|>assistant\n".replace("01 Dec 20312031-12", "26 Jul 20242024-07")
