"""Final answers: taken from a text, and compared as mathematics.

`math-verify` parses and compares, `notation` prepares. Units are not compared: sets name them or not at will.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from depo_lightning.questions.notation import comparable, plain_signs

_MARK = "####"  # GSM8K writes its answers behind it
_ANSWER = re.compile(r"answer(?:\s+is|\s*[:=])+\s*(?:\*\*|[:=])?\s*(\S[^\n]*)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[\w%$)}\]*])\.(?:\*\*)?(?:\s|$)|[!?](?:\s|$)")
_WORD = re.compile(r"(?<![\\A-Za-z])(?!(?:sqrt|sin|cos|tan|log|ln|pi)\b)[A-Za-z]{2,}(?![A-Za-z}])")
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_VALUE = re.compile(  # LaTeX between its marks, a fraction, or a number, mixed or in per cent
    rf"\$[^$\n]+\$|\\\(.+?\\\)|-?\\d?frac\s*\{{[^{{}}]+\}}\{{[^{{}}]+\}}"
    rf"|-?[$€£]?(?:\d+\s+\d+/\d+|(?:{_NUMBER})(?:\s*/\s*\d+)?(?:[eE][+-]?\d+)?)(?:\s*(?:\\?%|percent\b))?"
)
_ASSIGNMENT = re.compile(r"([A-Za-z])\s*=\s*([^=<>]+)")
_TUPLE_OF_NAMES = re.compile(r"^\(\s*[A-Za-z](?:\s*,\s*[A-Za-z])+\s*\)\s*=\s*")
_LIST = re.compile(r"[^=<>,]+(?:,[^=<>,]+)+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was taken for the answer ("" if nothing was), and whether it equals the right one.

    `undecided`: the comparison was given up, for time or memory; such an answer counts as wrong.
    """

    extracted: str
    correct: bool
    undecided: bool = False


def grade(answer: str, text: str) -> Verdict:
    """Judge a text by the right answer.

    Not bounded in time: `grading.grade_all` is, and texts of a model belong there.
    """
    extracted = final_answer(text)
    return Verdict(extracted, bool(extracted) and equal(reference_answer(answer), extracted))


def reference_answer(answer: str) -> str:
    """The final answer of a data set's answer field: behind `####`, in the last box, or all of it."""
    if _MARK in answer:
        return answer.rpartition(_MARK)[2].strip()
    return _boxed(answer) or answer.strip()


def final_answer(text: str) -> str:
    """What a text gives as its answer: the last box, else behind the last `####` or "answer is", else the last value.

    Several boxes on one line are one answer with several values; of an answer in prose, the first value counts. ""
    where there is nothing of the kind.
    """
    if boxed := _boxed(text):
        return boxed
    if _MARK in text:
        return _one_sentence(text.rpartition(_MARK)[2].strip().partition("\n")[0])
    stated = [_one_sentence(found) for found in _ANSWER.findall(text)]
    if stated and stated[-1]:
        first = _VALUE.search(plain_signs(stated[-1]))
        return first[0].strip() if first and _WORD.search(comparable(stated[-1])) else stated[-1]
    values = _VALUE.findall(plain_signs(text))
    return values[-1].strip() if values else ""


def equal(answer: str, given: str) -> bool:
    """Whether two final answers say the same: the same words, or equal as mathematics."""
    right, ours = comparable(answer), comparable(given)
    if right.casefold() == ours.casefold():
        return True
    named, bare = _named_values(right), _bare_values(ours)
    if named and bare:
        return len(named) == len(bare) and all(map(_verified, named, bare))
    return _verified(right, ours if "=" in right else _last_side(ours))


def _verified(right: str, ours: str) -> bool:
    from math_verify import verify

    # math-verify's own limit of time needs signals, which only a process's main thread may use.
    return bool(verify(_parse(right), _parse(ours), allow_set_relation_comp=True, timeout_seconds=None))


def _named_values(text: str) -> list[str]:
    """The values of `x = 5, y = 3` in the order of the names; none of anything else, `x = 5, x = 3` included."""
    found = [_ASSIGNMENT.fullmatch(part.strip()) for part in text.split(",")]
    values = {one[1]: one[2] for one in found if one}
    return [values[name] for name in sorted(values)] if len(values) == len(found) > 1 else []


def _bare_values(text: str) -> list[str]:
    """The values of `5, 3`, `(5, 3)` or `(x, y) = (5, 3)`, which math-verify compares to named ones in any order."""
    text = _TUPLE_OF_NAMES.sub("", text)
    if not _LIST.fullmatch(text):
        return []
    text = text.removeprefix("\\{").removesuffix("\\}")
    inside = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    return [part.strip() for part in inside.split(",")]


def _boxed(text: str) -> str:
    """The contents of the boxes on the last line that has one."""
    boxes: list[tuple[int, str]] = []
    for start in re.finditer(r"\\(?:boxed|fbox)\s*\{", text):
        depth, end = 1, start.end()
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if not depth:
            boxes.append((text.count("\n", 0, start.start()), text[start.end() : end - 1].strip()))
    return ", ".join(content for line, content in boxes if line == boxes[-1][0])


def _one_sentence(text: str) -> str:
    return _SENTENCE_END.split(text, maxsplit=1)[0].strip().strip("*").strip()


def _last_side(text: str) -> str:
    """Behind the last `=` of one equation: `5 + 5 = 10` and `x = 10` answer 10; lists of equations stay whole."""
    return text if re.search(r"[,;<>]|\\[lg]eq?\b|\\neq", text) else text.rpartition("=")[2].strip()


def _parse(text: str) -> list[Any]:
    from math_verify import parse

    latex, plain = _readers()
    value, percent, _ = text.partition(r"\%")
    found = parse(f"${value.strip()}${'%' if percent else ''}", [latex], parsing_timeout=None)
    return found or parse(text, [plain], parsing_timeout=None)


@cache
def _readers() -> tuple[Any, Any]:
    """math-verify's reader of LaTeX and that of plain numbers."""
    from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that it is not bounded in time
    return LatexExtractionConfig(boxed_match_priority=-1), ExprExtractionConfig()
