"""Answers of a model, graded within bounds: a text may name a number that no machine can write down.

The comparison runs in a process of its own, which ends when one takes too long: a handler could not stop a single long
operation inside Python's integers. Processor time is what counts, so that no verdict depends on how busy a machine is.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection

from depo_lightning.errors import MachineError
from depo_lightning.questions.answers import Verdict, grade

_SECONDS = 10.0  # of processor time for one comparison; nearly all take milliseconds
_COUNTED = hasattr(signal, "setitimer")  # else the clock on the wall decides
_PATIENCE = 30 if _COUNTED else 1  # times as long on the clock
_START = 300.0  # for the process to load, on a busy machine
_MEMORY = 4 << 30  # bytes


def grade_all(
    pairs: Iterable[tuple[str, str]], seconds: float = _SECONDS, progress: Callable[[], object] = lambda: None
) -> list[Verdict]:
    """Grade (right answer, text) pairs, in their order.

    Args:
        pairs: as `answers.grade` takes them.
        seconds: of processor time after which a comparison is given up; the answer counts as wrong, and is marked
            undecided.
        progress: called after each pair.

    Raises:
        MachineError: the process cannot start.
    """
    verdicts = []
    grader: _Grader | None = None
    try:
        for answer, text in pairs:
            grader = grader or _Grader()
            verdict = grader.ask(answer, text, seconds)
            if verdict is None:
                grader.end()
                grader = None
            verdicts.append(verdict or Verdict("", correct=False, undecided=True))
            progress()
    finally:
        if grader is not None:
            grader.end()
    return verdicts


class _Grader:
    """The process that compares, and the line to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # small, and safe beside threads and CUDA
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        if self._answer(_START) is None:
            self.end()
            raise MachineError("the process that compares answers did not start; is the memory used up?")

    def ask(self, answer: str, text: str, seconds: float) -> Verdict | None:
        """The verdict; None where the process took too long or died."""
        self._line.send((answer, text, seconds))
        verdict = self._answer(seconds * _PATIENCE)
        return verdict if isinstance(verdict, Verdict) else None

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self._line.close()

    def _answer(self, seconds: float) -> object:
        try:
            return self._line.recv() if self._line.poll(seconds) else None
        except (EOFError, OSError):
            return None


def _serve(line: Connection) -> None:
    """Answer until the other end is gone."""
    import math_verify  # noqa: F401  (what takes long, before the first question's time runs)

    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    line.send("ready")
    while True:
        try:
            answer, text, seconds = line.recv()
        except EOFError:
            return
        line.send(_timed(answer, text, seconds))


def _timed(answer: str, text: str, seconds: float) -> Verdict | None:
    """The verdict. The timer's signal has no handler, and so ends the process whatever it is at."""
    if not _COUNTED:
        return _grade(answer, text)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    verdict = _grade(answer, text)
    signal.setitimer(signal.ITIMER_PROF, 0)
    return verdict


def _grade(answer: str, text: str) -> Verdict | None:
    try:
        return grade(answer, text)
    except (MemoryError, RecursionError):
        return None
