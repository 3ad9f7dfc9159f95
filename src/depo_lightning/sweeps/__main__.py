"""The project's sweeps on the command line: `python -m depo_lightning.sweeps`, or `… report DIRECTORY`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from depo_lightning.cli import guarded
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.progress import console

_PACKAGE = "# @package _global_"
_WHERE = Path("sweeps")


def main(arguments: Sequence[str] | None = None) -> int:
    """List the sweeps, or report one; returns the exit code."""
    options = _parser().parse_args(arguments)
    return guarded(lambda: options.run(options))


def sweeps(directory: Path) -> dict[str, str]:
    """Name and description of every sweep file; the description is the first comment after the package line.

    Raises:
        DataError: there is no such directory.
    """
    if not directory.is_dir():
        raise DataError(f"{directory}: no such directory; call this where run.py is, or give the directory with --in")
    return {path.stem: _description(path) for path in sorted(directory.glob("*.yaml"))}


def _description(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    comments = [line.lstrip("# ").rstrip() for line in lines if line.startswith("#") and line != _PACKAGE]
    return comments[0].split(": python run.py")[0] if comments else ""


def _list(options: argparse.Namespace) -> None:
    found = sweeps(options.directory)
    for name, description in found.items():
        console.print(f"python run.py -m +sweeps={name}", style="bold", markup=False)
        console.print(f"    {description}", markup=False)
    if not found:
        console.print(f"no sweep in {options.directory}", markup=False)


def _report(options: argparse.Namespace) -> None:
    from depo_lightning.sweeps.points import job_directories
    from depo_lightning.sweeps.report import write_report
    from depo_lightning.sweeps.table import closing_tables

    objectives = dict(map(_objective, options.objective)) if options.objective else None
    reference = _values(options.reference) if options.reference else None
    if not job_directories(options.directory):
        raise DataError(f"{options.directory}: no job of a sweep in it; give the directory that holds 0, 1, …")
    report = write_report(options.directory, options.policy, objectives, reference)
    console.print(closing_tables(report))
    console.print(f"tables, front and figures: {options.directory}", markup=False)


def _objective(text: str) -> tuple[str, str]:
    name, sign, direction = text.partition("=")
    if not (name and sign) or direction not in ("maximize", "minimize"):
        raise ConfigError(f"--objective {text}: write it as metric=maximize or metric=minimize")
    return name, direction


def _values(text: str) -> Mapping[str, Any]:
    """Swept values as Hydra reads overrides, so that 1 and 1.0, quoted or not, mean what they mean there."""
    try:
        overrides = OverridesParser.create().parse_overrides([part for part in text.split(",") if part])
        return {override.key_or_group: override.value() for override in overrides}
    except HydraException as error:
        raise ConfigError(f"--reference {text}: write it as key=value,key=value ({error})") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m depo_lightning.sweeps", description=__doc__)
    parser.set_defaults(run=_list, directory=_WHERE)
    commands = parser.add_subparsers(metavar="command")
    listing = commands.add_parser("list", help="the project's sweeps and their command lines (without a command, too)")
    listing.add_argument("--in", dest="directory", type=Path, default=_WHERE, help="directory of the sweeps' files")
    listing.set_defaults(run=_list)
    report = commands.add_parser("report", help="write and print the report of a sweep, finished or not")
    report.add_argument("directory", type=Path, help="the sweep's directory")
    report.add_argument("--policy", help="the policy to compare; default: the one that the jobs' results name")
    report.add_argument(
        "--objective",
        action="append",
        metavar="METRIC=DIRECTION",
        help="an objective, maximize or minimize; at least two; default: the sweep's own",
    )
    report.add_argument(
        "--reference", metavar="KEY=VALUE,…", help="the configuration to compare others with; default: the first"
    )
    report.set_defaults(run=_report)
    return parser


if __name__ == "__main__":
    sys.exit(main())
