"""Pieces of one text, tokenised apart as they are tokenised where they stand.

SentencePiece-like tokenizers put a blank before a text, and some before what follows a control token: with Llama 2's
and Mistral's, `go` alone is `▁go`. A piece from the middle of a text must not get it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from depo_lightning.errors import ConfigError

_MARKS = (b'"type":"Prepend"', b'"prepend_scheme":"always"', b'"prepend_scheme":"first"', b'"add_prefix_space":true')
_BLANKS = {"prepend_scheme": "never", "add_prefix_space": False}


class Pieces:
    """Tokenises pieces of a conversation with a chat model's tokenizer.

    Attributes:
        control: ids of the control tokens.

    Raises:
        ConfigError: the tokenizer puts a blank before each text, and cannot be kept from it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        self.control = frozenset([*tokenizer.all_special_ids, *(i for i, token in added if token.special)])
        self._bare = _without_blanks(tokenizer)
        self._blank_after_control = self._bare is not None and self._measure_control()
        self._turn_follows_control = self._turn_follows_blank = False

    def place_turn(self, prompt: str, blank: bool) -> None:
        """Tell what an agent turn follows.

        Args:
            prompt: text before it.
            blank: whether the template puts a blank between them.
        """
        if self._bare is not None:
            self._turn_follows_control = self.whole(prompt)[-1] in self.control and self._blank_after_control
            self._turn_follows_blank = blank and not self._turn_follows_control

    def whole(self, text: str) -> list[int]:
        """Ids of a text that begins the conversation, or begins with a control token."""
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def turn(self, text: str) -> list[int]:
        """Ids of an agent turn, in which nothing is a control token."""
        if self._bare is None or self._turn_follows_control:
            return self._plain(text)
        return self._inner(f" {text}" if text and self._turn_follows_blank else text)

    def turn_text(self, ids: Sequence[int]) -> str:
        """The text of a generated turn with the blanks that it begins with; control tokens are left out."""
        if self._bare is None:
            text = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
            assert isinstance(text, str)  # one turn, not a batch
            return text
        text = self._bare.decode(list(ids), skip_special_tokens=True)
        return text.removeprefix(" ") if self._turn_follows_control or self._turn_follows_blank else text

    def around(self, lead: str, body: str, tail: str) -> list[int]:
        """Ids of `lead`, `body` and `tail`, where look-alikes of control tokens in `body` stay text."""
        if self._bare is None:
            return self.whole(lead) + self._plain(body) + self.whole(tail)
        start = max((end for _, end in self._control_places(lead)), default=0)
        stop = min((begin for begin, _ in self._control_places(tail)), default=len(tail))
        section = lead[start:] + body + tail[:stop]
        alone = start == 0 or self._blank_after_control
        ids = self._plain(section) if alone else self._inner(section)
        return self.whole(lead[:start]) + ids + self.whole(tail[stop:])

    def _plain(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def _inner(self, text: str) -> list[int]:
        assert self._bare is not None
        ids: list[int] = self._bare.encode(text, add_special_tokens=False).ids
        return ids

    def _measure_control(self) -> bool:
        """Whether text behind a control token gets a blank, as text at the beginning does."""
        token = str(self._tokenizer.convert_ids_to_tokens(min(self.control)))
        return self.whole(f"{token}a") != self.whole(token) + self._inner("a")

    def _control_places(self, text: str) -> list[tuple[int, int]]:
        """[start, end) of the control tokens in a text."""
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [place for i, place in pairs if i in self.control]


def _without_blanks(tokenizer: PreTrainedTokenizerBase) -> Tokenizer | None:
    """A copy that adds no blanks and takes no text for a control token; None where the original adds none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        _refuse_blanks(tokenizer)
        return None
    parts = [part for part in (backend.normalizer, backend.pre_tokenizer) if part is not None]
    if not any(mark in part.__getstate__() for part in parts for mark in _MARKS):
        return None
    values = json.loads(backend.to_str())
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        values[name] = _strip(values[name])
    bare = Tokenizer.from_str(json.dumps(values))
    bare.no_padding()
    bare.no_truncation()
    bare.encode_special_tokens = True
    return bare


def _strip(part: Any) -> Any:
    """A component of a tokenizer, as JSON, without what adds a blank in front or takes it away."""
    if part is None or part["type"] == "Prepend" or (part["type"] == "Strip" and part.get("start")):
        return None
    changed = {key: _BLANKS.get(key, value) for key, value in part.items()}
    for name in ("normalizers", "pretokenizers", "decoders"):
        if name in part:
            changed[name] = [kept for kept in map(_strip, part[name]) if kept is not None]
    return changed


def _refuse_blanks(tokenizer: PreTrainedTokenizerBase) -> None:
    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    if ids("\na") != ids("\n") + ids("a"):
        raise ConfigError(
            f"model {tokenizer.name_or_path!r}: its tokenizer puts a blank before each text and has no "
            "tokenizer.json, so the pieces of an episode would not join to one token sequence; save it as a "
            "tokenizer.json, or choose another model"
        )
