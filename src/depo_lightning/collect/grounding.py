"""Whether a rewritten thought speaks only of what was there: no new object, number or name.

Independent of environments: everything counts as a name that is not common English of the kind that thoughts are made
of (function words, verbs of seeing, wanting, moving). The environment's phrases tell which words belong together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

# Scripts that put no blanks between words: Thai, Lao, Burmese, Khmer, kana, Chinese. Each of their signs is a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W\d_{_UNSPACED}]"
_WORD = re.compile(rf"{_LETTER}+(?:'{_LETTER}+)?|\d+(?:\.\d+)?|[{_UNSPACED}]")
_QUOTED = re.compile(r'"([^"\n]+)"|\[([^\]\n]+)\]|`([^`\n]+)`|“([^”\n]+)”')
_ENDINGS = ("ing", "est", "ed", "er", "es", "ly", "s")
_NUMBER = re.compile(r"\s+[0-9]+")
_COMMON = """
a able about above across actually after again against ahead all almost along already also although always am among an
and another any anything are around as aside at away back be because been before behind being below beside best better
between beyond both but by can cannot check choose clear close come complete contain continue could decide did do does
done down each either else end enough even every everything far few find first follow for from front further get give
go goal good had has have head hence her here him his how however i if immediately in instead into is it item its itself
just keep last later lead least leave left less let like likely look make many match may me might more most move much
must my myself near nearby nearest need never next no none nor not nothing now obtain of off on once one only onto
option or other otherwise our out over own pass perhaps pick place plan point position possible probably proceed put
reach ready remain require right same search see seem select several shall she should show side simply since so some
something soon start step still stop straight such take target task than that the their them then there therefore these
they thing think this those though through thus till to together too toward towards try turn under unless until up upon
us use usual very via visible want was way we well were what when where whether which while who whole why will with
within without would yes yet you your
"""


def _stem(word: str) -> str:
    """A word without the ending that grammar gave it; crude, but the same for every form of a word."""
    word = word.removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


_CONTRACTED = "can't don't i'm i'll i've it's let's won't"
_SMALL_TALK = frozenset(map(_stem, _COMMON.split())) | frozenset(_CONTRACTED.split())


class Grounding:
    """Finds what a text names that its sources do not.

    Args:
        phrases: regular expressions of words that belong together, such as ` (red|blue) (ball|box)`. Phrases of common
            words alone are wording, not names.
    """

    def __init__(self, phrases: Sequence[str] = ()) -> None:
        self._phrases = [re.compile(phrase, re.IGNORECASE) for phrase in phrases]
        self._names = lru_cache(maxsize=4096)(self._find_names)

    def new_names(self, text: str, *sources: str) -> list[str]:
        """Words, numbers, phrases and quotations of `text` that are in none of the sources, in order of discovery."""
        known = [_plain(source) for source in sources]
        plain = _plain(text)
        if any(plain in source for source in known):
            return []
        words = {_stem(word) for source in known for word in _WORD.findall(source)}
        new = [word for word in _WORD.findall(plain) if _names_something(word) and _stem(word) not in words]
        new += [name for name in self._names(text) if not any(_within(name, source) for source in known)]
        return list(dict.fromkeys(new))

    def _find_names(self, text: str) -> tuple[str, ...]:
        """Phrases of the environment and quotations in a text, where they name something."""
        padded = f" {text} "
        found = [_with_number(match, padded) for phrase in self._phrases for match in phrase.finditer(padded)]
        found += [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
        names = (_plain(name).strip(" .,;:") for name in found)
        return tuple(dict.fromkeys(name for name in names if any(map(_names_something, _WORD.findall(name)))))


def _with_number(match: re.Match[str], text: str) -> str:
    """A phrase with the number that follows it, which tells one red ball from another."""
    number = _NUMBER.match(text, match.end())
    return match[0] + (number[0] if number else "")


def _names_something(word: str) -> bool:
    return word not in _SMALL_TALK and _stem(word) not in _SMALL_TALK


def _plain(text: str) -> str:
    """Lower case, single blanks."""
    return " ".join(text.lower().split())


def _within(name: str, source: str) -> bool:
    """Whether a name stands in a source as whole words; anywhere, in a script without blanks."""
    part = rf"[^\W_{_UNSPACED}]"
    return re.search(rf"(?<!{part}){re.escape(name)}(?!{part})", source) is not None
