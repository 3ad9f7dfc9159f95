"""Files of questions: what they may hold, and how bad lines are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from depo_lightning.errors import DataError
from depo_lightning.questions.question import Question, read_questions, write_questions


def test_a_file_round_trips(tmp_path: Path) -> None:
    questions = [Question("1+1?", "2", "easy"), Question("½ von 3?", "3/2")]
    write_questions(tmp_path / "q.jsonl", questions)
    assert read_questions(tmp_path / "q.jsonl") == questions


def test_fields_numbers_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    rows = [{"problem": "a", "solution": r"so \boxed{4}", "more": 1}, {"problem": "b", "solution": [3, 4.5]}]
    path.write_text("\n\n".join(map(json.dumps, rows)))
    assert read_questions(path, "problem", "solution") == [Question("a", r"so \boxed{4}"), Question("b", "3, 4.5")]


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    lines = [
        b'{"question": "fine", "answer": 1}',
        b"{",
        b'{"question": "no answer"}',
        b'{"question": " ", "answer": true}',
        b"[1]",
        b'{"question": "\xff", "answer": "1"}',
        b'{"question": "nothing behind the mark", "answer": "so #### "}',
    ]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_questions(path)
    faults = caught.value.faults
    places = [fault.removeprefix(f"{path}:").partition(":")[0] for fault in faults]
    assert places == ["2", "3", "4", "4", "5", "6", "7"]
    for fault, words in zip(
        faults, ["not JSON", "'answer' is missing", "' '", "True", "list", "UTF-8", "no final answer"], strict=True
    ):
        assert words in fault


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"question": "a", "answer": NaN}', "'answer' is nan; expected a text, a number"),
        ('{"question": "a", "answer": [1, 1e999]}', r"'answer' is \[1, inf\]; expected"),
        ('{"question": "a\\ud800", "answer": 1}', "'question' is .*; expected a text"),
        ('{"question": "a", "answer": "\\udfff"}', "'answer' is .*; expected a text"),
        ('{"question": "a", "answer": ' + "9" * 5000 + "}", "cannot be read: .*digits"),
        ('{"question": "a", "answer": ' + "[" * 100_000 + "}", "cannot be read: .*recursion"),
    ],
)
def test_values_that_json_lets_through_are_named(tmp_path: Path, row: str, told: str) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "fine", "answer": 1}\n' + row)
    with pytest.raises(DataError, match=rf"q.jsonl:2: .*{told}"):
        read_questions(tmp_path / "q.jsonl")


def test_files_of_other_editors(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_bytes(b'\xef\xbb\xbf{"question": "a", "answer": 1, "level": 0}\r\n\r\n')
    assert read_questions(tmp_path / "q.jsonl") == [Question("a", "1", "0")]


def test_many_faults_are_cut_short_and_no_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("{}x\n" * 50)
    with pytest.raises(DataError) as caught:
        read_questions(path)
    assert len(caught.value.faults) == 21
    assert "30 more" in caught.value.faults[-1]
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no question"):
        read_questions(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")
