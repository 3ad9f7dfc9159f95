"""Measure and print one table: `python -m bench [subjects...]`."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.machine import describe, headline
from bench.settings import Settings, Unavailable
from bench.table import Row, markdown_table, rich_table

_WIDE = 200  # columns where the output is no terminal
_ENTRY = re.compile(r"^def measure\(settings\b", re.MULTILINE)


@dataclass
class Outcome:
    """What came of the subjects so far."""

    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # subject: why it could not be measured
    failed: dict[str, str] = field(default_factory=dict)  # subject: the error
    seconds: dict[str, float] = field(default_factory=dict)


def subjects(folder: Path = Path(__file__).parent) -> list[str]:
    """The modules of this folder that can be measured, found without importing any."""
    return sorted(path.stem for path in folder.glob("*.py") if _ENTRY.search(path.read_text(encoding="utf-8")))


def run_subject(name: str, settings: Settings, outcome: Outcome, package: str = "bench") -> None:
    """Measure one subject; whatever is wrong with it, the others still get their turn."""
    began = time.perf_counter()
    try:
        for row in importlib.import_module(f"{package}.{name}").measure(settings):
            outcome.rows.append(row)  # one by one: what fails later leaves what was measured before
    except Unavailable as reason:
        outcome.left_out[name] = str(reason)
    except ModuleNotFoundError as error:
        outcome.left_out[name] = f'{error}; install what it needs: pip install -e ".[dev]"'
    except Exception as error:
        traceback.print_exc()
        outcome.failed[name] = f"{type(error).__name__}: {error}"
    outcome.seconds[name] = round(time.perf_counter() - began, 1)


def to_json(settings: Settings, machine: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    """Everything, every repetition included."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {**vars(settings), "store": settings.store and str(settings.store)},
        "machine": machine,
        "rows": [row.to_dict() for row in outcome.rows],
        "left_out": outcome.left_out,
        "failed": outcome.failed,
        "seconds": outcome.seconds,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; returns 1 where a subject failed, or one asked for by name could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=f"default: all of {', '.join(subjects())}")
    parser.add_argument("--repetitions", type=int, default=3, help="of each contender, by turns (default: 3)")
    parser.add_argument("--quick", action="store_true", help="reduced budgets: does it work, roughly how fast")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--store", type=Path, help="a store with finished stages of the default configuration")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each measured process (default: 1)")
    parser.add_argument("--case", default="", help="of training: only the cases whose name holds this")
    parser.add_argument("--json", type=Path, help="write all repetitions, versions and the machine to this file")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.subjects) - set(subjects())):
        parser.error(f"no such subject: {', '.join(unknown)}; there are {', '.join(subjects())}")
    if faults := _faults(options):
        parser.error("; ".join(faults))
    store = options.store and options.store.absolute()
    settings = Settings(options.repetitions, options.quick, options.device, store, options.threads, options.case)
    machine, outcome = describe(settings.device), Outcome()
    progress = Console(stderr=True)
    for name in options.subjects or subjects():
        progress.print(f"[bold]{name}[/] …")
        run_subject(name, settings, outcome)
        if options.json:  # after every subject, so that a long run that is stopped leaves what it has
            options.json.write_text(json.dumps(to_json(settings, machine, outcome), indent=1) + "\n")
    _print(settings, machine, outcome, options.markdown)
    return 1 if outcome.failed or (options.subjects and outcome.left_out) else 0


def _faults(options: argparse.Namespace) -> list[str]:
    """What would be noticed only after a measurement, or by all of them."""
    faults = [f"--{n} {getattr(options, n)}: at least 1" for n in ("repetitions", "threads") if getattr(options, n) < 1]
    if options.json and (options.json.is_dir() or not options.json.absolute().parent.is_dir()):
        faults.append(f"--json {options.json}: no file can be written there")
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            faults.append("--device cuda: torch sees no GPU here")
    return faults


def _print(settings: Settings, machine: dict[str, Any], outcome: Outcome, markdown: bool) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDE, soft_wrap=True)
    budget = "quick budget" if settings.quick else "full budget"
    times = f"medians of {settings.repetitions}" if settings.repetitions > 1 else "one repetition"
    console.print(f"{headline(machine)}\n{times}, {budget}, {settings.threads} thread(s)\n", highlight=False)
    if outcome.rows:
        console.print(markdown_table(outcome.rows) if markdown else rich_table(outcome.rows), markup=False)
    for name, reason in outcome.left_out.items():
        console.print(f"{name}: not measured: {reason}", markup=False, highlight=False)
    for name, reason in outcome.failed.items():
        console.print(f"{name}: FAILED: {reason}", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
