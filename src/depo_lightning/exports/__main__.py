"""What a run gives to others: `python -m depo_lightning.exports merge|adapters|vllm|cards|preferences …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from depo_lightning.cli import guarded
from depo_lightning.exports.run import Run
from depo_lightning.progress import console

_SHAREGPT = "LLaMA-Factory"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    return guarded(lambda: options.run(options))


def _merge(options: argparse.Namespace) -> None:
    run = Run.read(options.directory)
    run.policy(options.policy)  # before the libraries load

    import depo_lightning.stages.policies  # noqa: F401  # quiets them
    from depo_lightning.exports.checkpoints import merge

    _say(f"{options.policy}, merged: {merge(run, options.policy, options.to)}")


def _adapters(options: argparse.Namespace) -> None:
    from depo_lightning.exports.checkpoints import rebase

    for path in rebase(Run.read(options.directory), options.base, options.to):
        _say(f"{path.name}: {path}")


def _vllm(options: argparse.Namespace) -> None:
    from depo_lightning.exports.checkpoints import vllm_commands

    commands = vllm_commands(Run.read(options.directory))
    _say("Serve the policies:", *(f"    {command}" for command in commands))
    _say("Then, with the overrides of the run:", "    python run.py rollout=server stages=[evaluate,report] …")


def _cards(options: argparse.Namespace) -> None:
    from depo_lightning.exports.cards import write_cards

    for path in write_cards(Run.read(options.directory)):
        _say(str(path))


def _preferences(options: argparse.Namespace) -> None:
    from depo_lightning.exports.llama_factory import write_llama_factory
    from depo_lightning.exports.rows import write_preferences
    from depo_lightning.trajectory import read_jsonl

    source: Path = options.source
    episodes = read_jsonl(source) if source.is_file() else Run.read(source).labelled(options.store)
    rows = write_preferences(options.to / "trl_kto.jsonl", episodes)
    _say(f"TRL's KTOTrainer: {options.to / 'trl_kto.jsonl'} ({rows} rows)")
    for name, count in write_llama_factory(options.to, episodes).items():
        _say(f"{_SHAREGPT}: dataset_dir: {options.to}, dataset: {name} ({count} rows)")


def _say(*lines: str) -> None:
    for line in lines:
        console.print(line, markup=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m depo_lightning.exports", description=__doc__)
    commands = parser.add_subparsers(metavar="command", required=True)

    def command(name: str, run: object, help_text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_text)
        added.set_defaults(run=run)
        return added

    merged = command("merge", _merge, "one policy of a run as a plain checkpoint, with its model card")
    merged.add_argument("directory", type=Path, help="the run's output directory")
    merged.add_argument("policy", help="its name in the table: bc, filtered_bc, kto, depo …")
    merged.add_argument("--to", type=Path, required=True, help="directory to write, new or empty")
    adapters = command("adapters", _adapters, "copies of a run's adapters that name another base model")
    adapters.add_argument("directory", type=Path, help="the run's output directory")
    adapters.add_argument("--base", required=True, help="the base model's name on the Hub, or its directory")
    adapters.add_argument("--to", type=Path, required=True, help="directory to write, new or empty")
    served = command("vllm", _vllm, "check the adapters for vLLM, and print the command line that serves the policies")
    served.add_argument("directory", type=Path, help="the run's output directory")
    cards = command("cards", _cards, "write the model cards anew")
    cards.add_argument("directory", type=Path, help="the run's output directory")
    data = command("preferences", _preferences, "labelled episodes as TRL and LLaMA-Factory read them")
    data.add_argument("source", type=Path, help="a run's output directory, or a trajectories.jsonl with labels")
    data.add_argument("--to", type=Path, required=True, help="directory to write")
    data.add_argument("--store", type=Path, help="the run's store, where it has been moved")
    return parser


if __name__ == "__main__":
    sys.exit(main())
