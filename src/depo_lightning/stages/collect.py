"""collect: the teacher searches the training tasks; every distinct finished path becomes a trajectory."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

from depo_lightning.config import Config
from depo_lightning.envs import Split
from depo_lightning.processes import cores
from depo_lightning.progress import bar
from depo_lightning.stages.context import TRAJECTORIES, Context, plain, settings
from depo_lightning.store import Stage
from depo_lightning.trajectory import read_jsonl, write_jsonl

REPORT = "report.json"


def collect_stage(config: Config, context: Context) -> Stage:
    """The stage that fills `trajectories.jsonl`, by search or from the user's file."""
    if config.search.trajectories is not None:
        digest = hashlib.sha256(Path(config.search.trajectories).read_bytes()).hexdigest()
        return Stage("collect", 1, {"trajectories_sha256": digest}, partial(_import, context), title="trajectories")
    identity = {
        "env": plain(config.env),
        "teacher": plain(config.teacher),
        "search": plain(config.search, "workers", "concurrency", "trajectories"),
    }
    return Stage("collect", 1, identity, partial(_search, context), title="tree search")


def _import(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    source = context.config.search.trajectories
    assert source is not None
    write_jsonl(target / TRAJECTORIES, read_jsonl(source))


def _search(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.agents.teacher import ScriptedTeacher
    from depo_lightning.collect.mcts import SearchSettings, TreeReport
    from depo_lightning.collect.run import collect

    config = context.config
    tasks = context.make_env().tasks(Split.TRAIN, config.search.tasks)
    reports: list[TreeReport] = []
    with bar("search trees", len(tasks)) as advance:

        def on_tree(report: TreeReport) -> None:
            reports.append(report)
            advance()

        trajectories = collect(
            context.make_env,
            partial(ScriptedTeacher, **plain(config.teacher, "name")),
            tasks,
            settings(SearchSettings, config.search),
            config.search.seed,
            workers=config.search.workers or cores(),
            concurrency=config.search.concurrency,
            on_tree=on_tree,
        )
    write_jsonl(target / TRAJECTORIES, trajectories)
    rows = sorted((report.to_dict() for report in reports), key=lambda row: row["task"])
    (target / REPORT).write_text(json.dumps(rows, indent=1) + "\n")
