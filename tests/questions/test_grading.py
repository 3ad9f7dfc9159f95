"""Grading within bounds: no text stops a run, and none changes another's verdict."""

from __future__ import annotations

import os
import signal
import time
from threading import Timer

import pytest

from depo_lightning.questions.answers import Verdict
from depo_lightning.questions.grading import _Grader, grade_all


def test_an_endless_comparison_is_given_up_and_the_rest_graded() -> None:
    counted: list[int] = []
    started = time.monotonic()
    pairs = [("1", r"\boxed{1}"), ("5", r"\boxed{9^{9^{9^9}}}"), ("2", "The answer is 3."), ("7", "so 7")]
    verdicts = grade_all(pairs, seconds=2, progress=lambda: counted.append(1))
    assert verdicts == [Verdict("1", True), Verdict("", False, undecided=True), Verdict("3", False), Verdict("7", True)]
    assert len(counted) == len(pairs)
    assert time.monotonic() - started > 2  # it was really tried


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers of processor time here")
def test_waiting_for_a_processor_is_no_comparison() -> None:
    grader = _Grader()
    pid = grader._process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    Timer(1.0, os.kill, (pid, signal.SIGCONT)).start()
    try:
        assert grader.ask("2", "The answer is 2.", seconds=0.3) == Verdict("2", True)
    finally:
        grader.end()


def test_nothing_to_grade_starts_nothing() -> None:
    assert grade_all([]) == []
