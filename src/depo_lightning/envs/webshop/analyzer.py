"""Text to terms, as Lucene's English analyzer cuts and stems it.

StandardTokenizer (word boundaries of Unicode's UAX 29, for alphabetic text and digits), English possessive filter,
lower case, Lucene's 33 stop words, Porter's first stemmer. Scripts written without blanks, which Lucene cuts into
single characters, stay whole here; nothing else is left out.
"""

from __future__ import annotations

import re

import Stemmer

_STOP = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
)
STOP_WORDS = frozenset(_STOP.split())
# Letters, digits and underscores; within them a full stop or apostrophe between two letters or two digits, a colon
# between letters, a comma or semicolon between digits. A run of underscores alone is no word; nor are "²" and "½",
# which Python's \w takes for digits.
_CHARACTER = r"[^\W\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089]"
_WORD = re.compile(
    rf"(?=_*[^\W_]){_CHARACTER}+"
    r"(?:(?:(?<=[^\W\d_])[.:'\u2018\u2019\u00b7](?=[^\W\d_])|(?<=\d)[.,;'\u2018\u2019](?=\d))"
    rf"{_CHARACTER}+)*"
)
_POSSESSIVE = ("'s", "\u2019s", "\uff07s")
# Porter's own program departs from his paper, which PyStemmer follows, in two endings; Lucene follows the program.
_DEPARTURES = ((re.compile(r"(.*)bl(?:y|ies|i)"), "ble"), (re.compile(r"(.*)log(?:y|ies|i)"), "log"))
_MEASURED = re.compile(r"(?:[aeiou]|[^aeiou]y)[^aeiou]")  # Porter's m > 0: somewhere a consonant follows a vowel
_LONGEST = 255  # characters; longer words are cut there


class Analyzer:
    """Terms of a text, in order; a word's term is computed once and remembered."""

    def __init__(self) -> None:
        self._stem = Stemmer.Stemmer("porter", 0).stemWord
        self._terms: dict[str, str] = {}

    def terms(self, text: str) -> list[str]:
        """The terms of `text`, stop words left out."""
        known = self._terms
        found = []
        for word in _WORD.findall(text.lower()):
            term = known.get(word)
            if term is None:
                term = known[word] = self._term(word)
            if term:
                found.append(term)
        return found

    def _term(self, word: str) -> str:
        """The term of a lower-case word, empty for a stop word."""
        word = word[:_LONGEST]
        if word.endswith(_POSSESSIVE):
            word = word[:-2]
        if word in STOP_WORDS:
            return ""
        return self._stem(_as_programmed(word)) if len(word) > 2 else word


def _as_programmed(word: str) -> str:
    """`word`, or one that PyStemmer stems as Porter's program stems `word` ("assemble" for "assembly")."""
    for pattern, ending in _DEPARTURES:
        found = pattern.fullmatch(word)
        if found and _MEASURED.search(found[1]):
            return found[1] + ending
    return word
