"""collect: the teacher searches the training tasks; every distinct finished path becomes a trajectory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

from depo_lightning.agents.account import refusal_remedy
from depo_lightning.choices import Proposing
from depo_lightning.config import Config, EnvConfig, MixtureConfig, TeacherConfig, trajectory_files
from depo_lightning.envs import Split
from depo_lightning.errors import DataError
from depo_lightning.files import atomic
from depo_lightning.processes import cores
from depo_lightning.progress import bar
from depo_lightning.stages.context import TRAJECTORIES, Context, plain, settings
from depo_lightning.stages.identity import env_identity
from depo_lightning.stages.llm import chat_model, check_broken, is_llm, kept_account, llm_identity, told
from depo_lightning.store import PROGRESS, Stage
from depo_lightning.trajectory import Trajectory, iter_jsonl, read_joined, to_line, write_jsonl
from depo_lightning.validation.llm import needs

if TYPE_CHECKING:
    from depo_lightning.agents.account import Account
    from depo_lightning.agents.teacher import Teacher
    from depo_lightning.collect.journal import Journal
    from depo_lightning.collect.mcts import TreeReport

REPORT = "report.json"
TREES = "trees.jsonl"


def collect_stage(config: Config, context: Context) -> Stage:
    """The stage that fills `trajectories.jsonl`, by search or from the user's files."""
    if files := trajectory_files(config.search):
        digests = [_sha256(file) for file in files]
        identity: dict[str, Any] = {"trajectories_sha256": digests if len(digests) > 1 else digests[0]}
        return Stage("collect", 1, identity, partial(_import, files), title="trajectories")
    identity = {
        "env": env_identity(config.env),
        "teacher": llm_identity("teacher", config.teacher),
        "search": plain(config.search, "workers", "concurrency", "trajectories"),
    }
    lacks = partial(needs, "teacher", config.teacher)
    return Stage("collect", 1, identity, partial(_search, context), title="tree search", needs=lacks)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _import(files: list[Path], target: Path, inputs: dict[str, Path]) -> None:
    count = write_jsonl(target / TRAJECTORIES, read_joined(files) if len(files) > 1 else iter_jsonl(files[0]))
    if not count:
        raise DataError(
            f"search.trajectories: no trajectory in {', '.join(map(str, files))}; name a file that holds some"
        )


def _search(context: Context, target: Path, inputs: dict[str, Path]) -> None:
    from depo_lightning.collect.journal import Journal

    with ExitStack() as stack:
        node = context.config.teacher
        make_teacher: Callable[[], Teacher]
        journal = None
        if is_llm(node):
            account = stack.enter_context(kept_account("teacher", node, target))
            journal = stack.enter_context(Journal(target / PROGRESS / TREES))
            make_teacher = partial(_llm_teacher, node, account)
        else:  # not worth a journal: it would cost a fifth of the seconds that all of a script's trees take
            make_teacher = _scripted_teacher(context.config.env, node)
        file = stack.enter_context(atomic(target / TRAJECTORIES))
        reports = _trees(context, make_teacher, lambda item: file.write(to_line(item)), journal)
    with (target / REPORT).open("w") as report_file:
        for place, report in enumerate(sorted(reports, key=lambda report: report.task)):
            report_file.write(",\n" if place else "[\n")
            report_file.write(indent(json.dumps(report.to_dict(), indent=1), " "))
        report_file.write("\n]\n")


def _trees(
    context: Context,
    make_teacher: Callable[[], Teacher],
    keep: Callable[[Trajectory], object],
    journal: Journal | None,
) -> list[TreeReport]:
    from depo_lightning.collect.mcts import SearchSettings
    from depo_lightning.collect.run import collect_each

    config = context.config
    tasks = context.make_env().tasks(Split.TRAIN, config.search.tasks)
    reports: list[TreeReport] = []
    with bar("search trees", len(tasks)) as advance:

        def on_tree(report: TreeReport) -> None:
            reports.append(report)
            advance()

        collect_each(
            context.make_env,
            make_teacher,
            tasks,
            settings(SearchSettings, config.search),
            config.search.seed,
            keep,
            # One process for a language model: its limits hold for all requests, and its answers are what takes time.
            workers=1 if journal is not None else config.search.workers or cores(),
            concurrency=config.search.concurrency,
            on_tree=on_tree,
            journal=journal,
        )
    errors = [report.error for report in reports if report.error]
    check_broken(errors, len(reports), "searches crashed")
    refused = [report.refused for report in reports if report.refused]
    check_broken(refused, len(reports), "searches lost turns to refused questions", refusal_remedy("teacher"))
    return reports


def _scripted_teacher(env: EnvConfig, node: TeacherConfig) -> Callable[[], Teacher]:
    from depo_lightning.agents.scripted import scripted_company, scripted_teacher

    fields = plain(node, "name", "parts")
    if not isinstance(env, MixtureConfig):
        return partial(scripted_teacher, env.name, **fields)
    return partial(scripted_company, {name: {**fields, **vars(node)["parts"].get(name, {})} for name in env.parts})


def _llm_teacher(node: Any, account: Account) -> Teacher:
    from depo_lightning.agents.llm_teacher import LLMTeacher, TeacherPrompts

    prompts = told(TeacherPrompts, node.prompts)
    return LLMTeacher(chat_model(node, account), prompts, node.proposals is Proposing.distinct)
