"""Conversations as token ids, cut where an agent's turns begin and end.

A conversation is a chain of segments: everything the template writes up to the first agent turn, the turn, the text
between it and the next turn, and so on. Each segment is tokenised on its own, exactly as a rollout meets it (prompt,
generated ids, end-of-turn id, next observation), so the spans of the agent's turns are known by construction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from depo_lightning.agents.pieces import Pieces
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.trajectory import Trajectory, with_token_counts

Message = dict[str, str]
_FILLER = "Placeholder"  # stands where a text must not matter; plain letters survive every template's trimming
_DAY = datetime(2024, 7, 26)  # templates may print today's date; equal conversations give equal ids on any day
_CLOCK = "strftime_now"  # how a template asks for the time
# Observations without markup that a template might look for, nor blanks at the ends that it might trim away.
_WORDS = re.compile(r"""[A-Za-z0-9](?:[A-Za-z0-9 ,.:;!?'"()\n-]|\["|"\])*[A-Za-z0-9.!?\])]""")
_PROBES = (
    "In front of you: a key; a box. What now?",
    """Goal: open 1 door!\nIt's (not) "far", 2-3 steps.\n\nActions: ["turn left", "go to box 1"]""",
    "  two  blanks\n \nand lines".strip() * 40,
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation and, per agent turn, its [start, end) with the end-of-turn token."""

    input_ids: list[int]
    spans: list[tuple[int, int]]


class ChatRenderer:
    """Renders conversations with a tokenizer's own chat template.

    Messages are an optional `system`, then `user` and `assistant` in alternation. Where the template refuses a system
    message, or keeps it beside the latest user message, its text leads the first user message. Text in an observation
    or turn that looks like a control token is tokenised as plain text. The ids are those of the whole conversation's
    render, cut where turns begin, whatever the tokenizer adds to a text on its own.

    Attributes:
        eot_id: id of the token that ends an agent turn.

    Raises:
        ConfigError: the tokenizer has no chat template, or one that ends turns with no special token or rewrites
            earlier messages when later ones arrive.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.chat_template:
            raise ConfigError(
                f"model {tokenizer.name_or_path!r}: its tokenizer has no chat template; choose a chat model"
            )
        self.tokenizer = tokenizer
        self._template = _stop_clock(tokenizer.get_chat_template())
        self._pieces = Pieces(tokenizer)
        self._control = self._pieces.control
        self._folds_system = False
        self._folds_system = self._displaces_system()
        self._head = lru_cache(maxsize=256)(self._render_head)
        self._frame = lru_cache(maxsize=256)(self._render_frame)
        self._turn_tokens = lru_cache(maxsize=65536)(lambda text: len(self.turn_ids(text)))
        self._filled_turn, self.eot_id = self._measure_turn()

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """Ids of the whole conversation; ends after the last end-of-turn token or with the generation prompt.

        Raises:
            DataError: the roles do not alternate.
        """
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        system, pairs = _take_apart(messages)
        for index, (observation, turn) in enumerate(pairs):
            ids += self._between(index, observation, system)
            if turn is not None:
                start = len(ids)
                ids += self.turn_ids(turn)
                spans.append((start, len(ids)))
        return Encoded(ids, spans)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Ids up to and including the generation prompt; the last message is the user's.

        Raises:
            DataError: the roles do not alternate, or the last message is the agent's.
        """
        _take_question(messages)
        return self.encode(messages).input_ids

    def next_prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The tail of `prompt_ids` that follows the last agent turn's end-of-turn token.

        Raises:
            DataError: the roles do not alternate, or the last message is the agent's.
        """
        system, index, observation = _take_question(messages)
        return self._between(index, observation, system)

    def turn_ids(self, text: str) -> list[int]:
        """Ids of one agent turn with its end-of-turn token."""
        return [*self._pieces.turn(text), self.eot_id]

    def turn_text(self, ids: Sequence[int]) -> str:
        """The text of a generated turn, its end-of-turn token and other control tokens left out."""
        return self._pieces.turn_text(ids)

    def count(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory with the tokens of every turn counted, end-of-turn token included."""
        return with_token_counts(trajectory, (self._turn_tokens(step.text) for step in trajectory.steps))

    def _between(self, index: int, observation: str, system: str) -> list[int]:
        """Ids between agent turns `index` - 1 and `index`, without the former's end-of-turn token."""
        head = self._head(index, system)
        lead, tail, control, literal = self._frame(index, system)
        if literal and _WORDS.fullmatch(observation):
            text = lead + observation + tail
        else:
            text = self._cut(self._render(self._conversation(index, observation, system)), head)
        ids = self._pieces.whole(text)
        if tuple(i for i in ids if i in self._control) != control:
            # The observation holds the text of a control token, which must stay text.
            ids = self._pieces.around(lead, text[len(lead) : len(text) - len(tail)], tail)
        return ids[1:] if index else ids

    def _render_head(self, index: int, system: str) -> str:
        """What stands before segment `index`, up to the text of the agent turn that precedes it."""
        if not index:
            return ""
        return self._render(self._conversation(index - 1, _FILLER, system)) + self._filled_turn

    def _render_frame(self, index: int, system: str) -> tuple[str, str, tuple[int, ...], bool]:
        """The template's part of segment `index`: before and after the observation, and its control tokens.

        Last, whether the template writes plain observations as they are, so that they need no rendering.
        """
        text = self._cut(self._render(self._conversation(index, _FILLER, system)), self._head(index, system))
        lead, _, tail = text.rpartition(_FILLER)
        literal = all(
            self._render(self._conversation(index, probe, system)) == self._head(index, system) + lead + probe + tail
            for probe in _PROBES
        )
        return lead, tail, tuple(i for i in self._pieces.whole(text) if i in self._control), literal

    def _measure_turn(self) -> tuple[str, int]:
        """A turn as the template writes it up to its end-of-turn token, and that token's id."""
        prompt = self._render(self._conversation(0, _FILLER, ""))
        rest = self._cut(self._render(self._conversation(1, _FILLER, "")), prompt)
        before, _, after = rest.partition(_FILLER)
        blank = len(after) - len(after.lstrip(" "))
        self._pieces.place_turn(prompt, before.endswith(" "))
        ids = self._pieces.whole(after[blank:])
        if ids[0] not in self._control:
            raise ConfigError(
                f"model {self.tokenizer.name_or_path!r}: its chat template ends an agent turn with {after[:20]!r}, "
                "which is no special token, so nothing tells a turn's end from text; choose another model or template"
            )
        return before + _FILLER + after[:blank], ids[0]

    def _conversation(self, index: int, observation: str, system: str) -> list[Message]:
        """Messages up to the observation that turn `index` answers, all earlier texts but the system's left out."""
        chat: list[Message] = []
        for _ in range(index):
            chat += [{"role": "user", "content": _FILLER}, {"role": "assistant", "content": _FILLER}]
        chat.append({"role": "user", "content": observation})
        if system and self._folds_system:
            chat[0]["content"] = f"{system}\n\n{chat[0]['content']}"
        elif system:
            chat.insert(0, {"role": "system", "content": system})
        return chat

    def _displaces_system(self) -> bool:
        """Whether the template refuses a system message, or moves it as the conversation goes on."""
        try:
            first, later = (self._render(self._conversation(index, _FILLER, _FILLER)) for index in (0, 1))
        except TemplateError:
            return True
        return not later.startswith(first)

    def _cut(self, text: str, head: str) -> str:
        if not text.startswith(head):
            raise ConfigError(
                f"model {self.tokenizer.name_or_path!r}: its chat template rewrites earlier messages when later ones "
                "arrive, so an episode is not one token sequence; choose another model or template"
            )
        return text[len(head) :]

    def _render(self, messages: list[Message]) -> str:
        text = self.tokenizer.apply_chat_template(
            messages,
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
            date_string=_DAY.strftime("%d %b %Y"),
        )
        assert isinstance(text, str)  # tokenize=False
        return text


def _stop_clock(template: str) -> str:
    """The template, for which it is always the same day.

    The library lets no function through to a template, so a macro of that name takes its clock's place.
    """
    if _CLOCK not in template:
        return template
    filters = "".join(f"|replace('%{letter}', '{_DAY.strftime('%' + letter)}')" for letter in "aAbBdHIjmMpSyY")
    return f"{{% macro {_CLOCK}(format) %}}{{{{ format{filters} }}}}{{% endmacro %}}\n{template}"


def _take_apart(messages: Sequence[Message]) -> tuple[str, list[tuple[str, str | None]]]:
    """System text and (observation, turn) pairs; the last turn is None where the agent is to speak."""
    has_system = bool(messages) and messages[0]["role"] == "system"
    rest = messages[1:] if has_system else messages
    for index, message in enumerate(rest):
        expected = "assistant" if index % 2 else "user"
        if message["role"] != expected:
            raise DataError(
                f"messages[{index + has_system}].role is {message['role']!r}; expected {expected!r}: after an optional "
                "system message, user and assistant alternate"
            )
    return messages[0]["content"] if has_system else "", list(_pairs(rest))


def _pairs(messages: Sequence[Message]) -> Iterator[tuple[str, str | None]]:
    for index in range(0, len(messages), 2):
        turn = messages[index + 1]["content"] if index + 1 < len(messages) else None
        yield messages[index]["content"], turn


def _take_question(messages: Sequence[Message]) -> tuple[str, int, str]:
    """System text, number of earlier turns and the observation that the agent is to answer."""
    system, pairs = _take_apart(messages)
    if not pairs or pairs[-1][1] is not None:
        raise DataError("the last message is not the user's; the agent has nothing to answer")
    return system, len(pairs) - 1, pairs[-1][0]
