"""Answers in the notation that `math-verify` reads: what it does not, rewritten; what it should not see, left out."""

from __future__ import annotations

import re
from collections.abc import Callable

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SIGNS = str.maketrans({"−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty "})
_MINUS = re.compile(r"\b(?:negative|(?<![\d%)] )minus)\s+(?=[$\\.\d])", re.IGNORECASE)
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8"}


def _without(characters: str) -> Callable[[re.Match[str]], str]:
    return lambda found: found[0].translate({ord(character): None for character in characters})


# Pattern, what takes its place, and what for; one after the other.
_REWRITES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # equations below each other
    (
        r"\\begin\{(cases|aligned)\}(.*?)\\end\{\1\}",
        lambda found: found[2].strip().removesuffix("\\\\").replace("\\\\", ",").replace("&", ""),
    ),
    # a unit in a text box, `12\text{ cm}^2`, but not a word between two values
    (r"(?<=[\d)}])\s*\\(?:text|mathrm|mbox)\s*\{(?!\s*(?:and|or)\b)[^{}]*\}(?:\^\{?[23]\}?)?", ""),
    (r"\\(?:text|textbf|mathrm|mathbf|mbox|textit)\s*\{([^{}]*)\}", r" \1 "),
    (r"^\\\((.*)\\\)$", r"\1"),
    (r"^\\\[(.*)\\\]$", r"\1"),
    (r"(?<=\d)\{,\}(?=\d)", ","),
    (r"(?<=\d)\\[,!](?=\d{3}(?!\d))", " "),
    (r"(?<!\\)\\[!,;:> ]|\\quad|~", " "),
    (r"\\[dt]frac", r"\\frac"),
    (r"\\(?:left|right)(?![a-zA-Z])", ""),
    # degrees and currencies, which are units
    (r"\^\s*\{?\\circ\}?|°|\bdegrees?\b", ""),
    (r"\\?\$|[€£¥]|\b(?:USD|EUR)\b", ""),
    (r"\\%|%|\bper ?cent\b", r"\\%"),
    # 1,234,567 and 1 234 567; a list has a blank behind its comma
    (r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])", _without(",")),
    (r"(?<![\d.])\d{1,3}(?: \d{3})+(?![\d/]| ?/)", _without(" ")),
    # mixed numbers, which LaTeX takes for products: 3 1/2 and 3\frac{1}{2}
    (r"(?<![\d.])(-?)(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d.])", r"\1(\2+\\frac{\3}{\4})"),
    (r"(?<![\d.])(-?)(\d+)\s*\\frac\{?(\d+)\}?\{?(\d+)\}?", r"\1(\2+\\frac{\3}{\4})"),
    # what calculators and programs print: 3.2e-4, 2**10, sqrt(2), pi
    (r"(?<=\d)[eE]([+-]?\d+)", r"\\times 10^{\1}"),
    (r"(?<=[\d)}])\*\*(?=[\d({-])", "^"),
    (r"(?<!\\)\bsqrt\s*(?:\(([^()]*)\)|(\d+))", lambda found: rf"\sqrt{{{found[1] or found[2]}}}"),
    (r"(?<!\\)\bpi\b", r"\\pi "),
    (r",?\s*\b(?:and|or)\b\s*", ", "),
)
_COMPILED = tuple((re.compile(pattern), replacement) for pattern, replacement in _REWRITES)
_NUMBER_AND_UNIT = re.compile(
    r"(?P<number>-?(?:[\d.]+(?:\s*/\s*\d+)?|\([\d+]+\\frac\{\d+\}\{\d+\}\)|\\frac\{[^{}]+\}\{[^{}]+\})(?:\s*\\%)?)"
    r"\s*[A-Za-z][A-Za-z.'-]*(?:[\s/]+[A-Za-z.'-]+)*(?:\s*\^?\s*\{?[23]\}?)?"
)
_TERM = re.compile(r"-?[\d.]*\s*[a-zA-Z](?:\s*\^.*)?")  # 2x, 3x^2: no unit


def plain_signs(text: str) -> str:
    """The text with minus ("negative" too), multiplication signs, Greek letters and the like as LaTeX writes them."""
    return _MINUS.sub("-", text.translate(_SIGNS))


def comparable(text: str) -> str:
    """The answer as LaTeX, without marks, units and thousands separators."""
    text = text.strip().strip("*").strip()
    for sign, fraction in _VULGAR.items():
        text = re.sub(rf"(?<=\d){sign}", f" {fraction}", text).replace(sign, fraction)
    text = re.sub(r"(?<=[\w)])([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda found: "^{" + found[1].translate(_SUPERSCRIPTS) + "}", text)
    text = plain_signs(text)
    for pattern, replacement in _COMPILED:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split()).lstrip(":;").rstrip(".:;").strip()
    measure = None if _TERM.fullmatch(text) else _NUMBER_AND_UNIT.fullmatch(text)
    return measure["number"].strip() if measure else text
