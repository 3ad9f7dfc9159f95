"""Write a page that replays stored episodes, turn by turn."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from depo_lightning.cli import guarded
from depo_lightning.errors import ConfigError
from depo_lightning.progress import bar, console
from depo_lightning.replay.episodes import Only, chosen, page_row, player, read_episodes
from depo_lightning.replay.page import write_page

PAGE = "replay.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; returns the exit code."""
    options = _parser().parse_args(arguments)
    return guarded(lambda: _write(options))


def _write(options: argparse.Namespace) -> None:
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit {options.limit}: must be at least 1")
    source: Path = options.source
    episodes = chosen(read_episodes(source), options.policy or (), options.only, options.limit)
    env = player(source, episodes)
    rows = []
    with bar("episodes", len(episodes)) as advance:
        for episode in episodes:
            rows.append(page_row(episode, env))
            advance()
    out = options.out or (source if source.is_dir() else source.parent) / PAGE
    write_page(rows, source.resolve().name, out)
    console.print(f"{len(rows)} episodes: {out}", markup=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m depo_lightning.replay", description=__doc__)
    parser.add_argument("source", type=Path, help="a run's output directory, or a JSONL of episodes")
    parser.add_argument("--policy", action="append", help="show this policy; may be given several times; default: all")
    parser.add_argument("--only", type=Only, choices=list(Only), default=Only.all, help="show episodes of this outcome")
    parser.add_argument("--limit", type=int, help="show the first so many tasks; default: all")
    parser.add_argument("--out", type=Path, help=f"the page; default: {PAGE} beside the episodes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
