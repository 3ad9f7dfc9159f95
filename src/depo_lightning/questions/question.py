"""Questions with their right answers, and the JSONL files that hold them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from depo_lightning.errors import DataError
from depo_lightning.files import atomic
from depo_lightning.questions.answers import reference_answer

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        question: what the policy is asked.
        answer: the right answer; may be a whole solution that ends in `#### …` or a box.
        level: class of difficulty, "" if there is none.
    """

    question: str
    answer: str
    level: str = ""


def read_questions(
    path: str | os.PathLike[str], question_field: str = "question", answer_field: str = "answer"
) -> list[Question]:
    """Read a JSONL of questions; further fields are passed over, but for `level`.

    Raises:
        DataError: the file cannot be read or holds none, or lines are faulty; names file:line for each (the first 20).
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    questions: list[Question] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                faults.append(f"{path}:{number}: not UTF-8 at byte {error.start}; save the file as UTF-8")
            except json.JSONDecodeError as error:
                faults.append(f"{path}:{number}: not JSON: {error.msg} at column {error.colno}; mend the line")
            except (RecursionError, ValueError) as error:  # lists in lists without end, numbers of thousands of digits
                faults.append(f"{path}:{number}: cannot be read: {error}; mend the line")
            else:
                _take(row, f"{path}:{number}", question_field, answer_field, questions, faults)
    if faults:
        hidden = len(faults) - _SHOWN
        raise DataError(faults[:_SHOWN] + ([f"… and {hidden} more faults"] if hidden > 0 else []))
    if not questions:
        raise DataError(
            f"{path}: holds no question; expected a line {{{question_field!r}: …, {answer_field!r}: …}} each"
        )
    return questions


def from_rows(rows: Iterable[Any], where: str, question_field: str, answer_field: str) -> list[Question]:
    """Questions from the rows of a data set.

    Raises:
        DataError: rows are faulty; names `where` and the row for each (the first 20).
    """
    questions: list[Question] = []
    faults: list[str] = []
    for number, row in enumerate(rows):
        _take(row, f"{where}: row {number}", question_field, answer_field, questions, faults)
        if len(faults) >= _SHOWN:
            break
    if faults or not questions:
        raise DataError(faults[:_SHOWN] or f"{where}: holds no question")
    return questions


def write_questions(path: str | os.PathLike[str], questions: Iterable[Question]) -> None:
    """Write one line per question, atomically."""
    with atomic(path) as file:
        for question in questions:
            file.write(json.dumps(asdict(question), ensure_ascii=False).encode("utf-8") + b"\n")


def _take(
    row: Any, where: str, question_field: str, answer_field: str, questions: list[Question], faults: list[str]
) -> None:
    found = list(_faults(row, question_field, answer_field))
    faults += [f"{where}: {fault}" for fault in found]
    if not found:
        level = row.get("level")
        questions.append(
            Question(row[question_field], _text(row[answer_field]) or "", "" if level is None else str(level))
        )


def _faults(row: Any, question_field: str, answer_field: str) -> Iterator[str]:
    if not isinstance(row, dict):
        yield f"expected a JSON object, found {type(row).__name__}"
        return
    for name in (question_field, answer_field):
        if name not in row:
            yield f"field {name!r} is missing; there are {sorted(row)}"
    question, answer = row.get(question_field), row.get(answer_field)
    if question_field in row and not (isinstance(question, str) and question.strip() and _printable(question)):
        yield f"field {question_field!r} is {question!r}; expected a text"
    if answer_field in row:
        text = _text(answer)
        if text is None:
            yield f"field {answer_field!r} is {answer!r}; expected a text, a number, or a list of them"
        elif not reference_answer(text):
            yield f"field {answer_field!r} is {text!r}, which gives no final answer"


def _text(answer: Any) -> str | None:
    """The answer as text; None for what is none."""
    if isinstance(answer, list) and answer:
        parts = [_text(part) for part in answer]
        return None if any(part is None for part in parts) else ", ".join(part for part in parts if part is not None)
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return None
    if isinstance(answer, float) and not isfinite(answer):  # Python's JSON knows NaN
        return None
    return str(answer) if _printable(str(answer)) else None


def _printable(text: str) -> bool:
    """Whether a text can be written to a file: half of a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
