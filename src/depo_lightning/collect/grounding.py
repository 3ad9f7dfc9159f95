"""Whether a rewritten thought speaks only of what was there: no new object, number or name.

Independent of environments: everything counts as a name that is not common English of the kind that thoughts are made
of (function words, verbs of seeing, wanting, moving). The environment's phrases tell which words belong together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

# Scripts that put no blanks between words: Thai, Lao, Burmese, Khmer, kana, Chinese. Each of their signs is a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W\d_{_UNSPACED}]"
_WORD = re.compile(rf"{_LETTER}+(?:'{_LETTER}+)?|\d+(?:\.\d+)?|[{_UNSPACED}]")
_QUOTED = re.compile(r'"([^"\n]+)"|\[([^\]\n]+)\]|`([^`\n]+)`|“([^”\n]+)”')
_ENDINGS = ("ing", "est", "ed", "es", "ly", "s")  # not "er": a timer is no form of time
_NUMBER = re.compile(r"\s+[0-9]+")
_COMMON = """
a able about above across actually after again against ahead all almost along already also although always am among an
and another any anything are around as aside at away back be because been before behind being below beside best better
between beyond both but by can cannot clear clearer clearest clearly close closely closer closest completely could did
does done down each either else enough even every everything far farther farthest few fewer fewest first for from
front further good had has hence her here him his how however i if immediately in instead into is it its itself just
last lastly lately later latest least left less likely many may me might more most much must my myself near nearby
nearer nearest nearly never next no none nor not nothing now of off on once one ones only onto or other others
otherwise our out over own perhaps possible possibly probably ready right same search several shall she should simply
since so some something soon sooner soonest still straight such than that the their theirs them then there therefore
these they this those though through thus till to together too toward towards under unless until up upon us usual very
via visible was we well were what when where whether which while who whole why will with within without would yes yet
you your yours
"""
_INFLECTED = """
check choose come complete contain continue decide do end find follow get give go goal have head item keep lead leave
let like look make match move need obtain option pass pick place plan point position proceed put reach remain require
see seem select show side start step stop take target task thing think try turn use want way
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


def _forms(word: str) -> Iterator[str]:
    """A common verb or noun as grammar writes it; none in -er, which make things of them (`show`, `shower`)."""
    yield word
    short = word if word.endswith("ee") else word.removesuffix("e")
    if re.search(r"[^aeiou]y$", word):
        yield from (f"{word[:-1]}ies", f"{word[:-1]}ied")
    else:
        yield from (f"{word}es" if re.search(r"([sxzo]|[cs]h)$", word) else f"{word}s", f"{short}ed")
    yield f"{short}ing"
    if re.search(r"[^aeiou][aeiou][^aeiouwxy]$", word):
        yield from (f"{word}{word[-1]}ed", f"{word}{word[-1]}ing")


_CONTRACTED = "can't don't i'm i'll i've it's let's won't"
_SMALL_TALK = frozenset(
    (*_COMMON.split(), *_CONTRACTED.split(), *(form for word in _INFLECTED.split() for form in _forms(word)))
)


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
        named = {word for source in known for word in _WORD.findall(source) if _names_something(word)}
        words = set(map(_stem, named))  # without small talk's: "not" does not stand for "note"
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
    return word not in _SMALL_TALK and word.removesuffix("'s") not in _SMALL_TALK


def _plain(text: str) -> str:
    """Lower case, single blanks."""
    return " ".join(text.lower().split())


def _within(name: str, source: str) -> bool:
    """Whether a name stands in a source as whole words; anywhere, in a script without blanks."""
    part = rf"[^\W_{_UNSPACED}]"
    return re.search(rf"(?<!{part}){re.escape(name)}(?!{part})", source) is not None
