"""The closing table of a run: policies side by side, then their paired differences to BC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from depo_lightning.evaluation import questions

MISSING = "–"
_NAMES = {"bc": "BC", "filtered_bc": "filtered BC", "kto": "KTO", "depo": "DEPO"}
_FORM = tuple[str, int]  # name shown, decimals
_BLOCK = tuple[str, Mapping[str, Any], list[list[str]], str]  # title, policies, rows, note
_METRICS: dict[str, _FORM] = {
    "success_rate": ("success rate", 3),
    "mean_reward": ("mean reward", 3),
    "tokens_all": ("T@All (tokens)", 1),
    "steps_all": ("S@All (steps)", 2),
    "tokens_success": ("T@Succ", 1),
    "steps_success": ("S@Succ", 2),
    "tokens_per_step": ("tokens/step", 1),
    "invalid_action_rate": ("invalid actions", 3),
    "tokens_per_success": ("tokens/success", 1),
}
_TIMING: dict[str, _FORM] = {"seconds_per_episode": ("seconds/episode", 3), "seconds_per_turn": ("seconds/turn", 3)}
DIFFERENCES: dict[str, _FORM] = {
    "success": ("success rate", 3),
    "reward": ("mean reward", 3),
    "tokens": ("T@All", 1),
    "tokens_percent": ("T@All, %", 1),
    "steps": ("S@All", 2),
    "steps_percent": ("S@All, %", 1),
    "tokens_per_step": ("tokens/step", 1),
    "invalid_action_rate": ("invalid actions", 3),
    "tokens_per_success": ("tokens/success", 1),
}
_COUNTS = "done/cut/crashed"
_ESTIMATE_NOTE = "mean ± standard error over episodes; crashed episodes are in no mean, cut ones are failures"
_DIFFERENCE_NOTE = "paired over tasks, 95 % bootstrap interval; * marks an interval without 0"


def policy_label(name: str, entry: Mapping[str, Any] | None = None) -> str:
    """The name that people read for a policy of a results dictionary."""
    return (entry or {}).get("label") or _NAMES.get(name, name.replace("_", " "))


def plus_minus(estimate: Mapping[str, Any] | None, decimals: int) -> str:
    """`0.746 ± 0.015` from `{mean, se}`; a dash where the mean is undefined."""
    if not estimate or estimate["mean"] is None:
        return MISSING
    mean = f"{estimate['mean']:.{decimals}f}"
    return mean if estimate["se"] is None else f"{mean} ± {estimate['se']:.{decimals}f}"


def with_interval(difference: Mapping[str, Any] | None, decimals: int) -> str:
    """`+0.021 [-0.004, +0.046]` from `{mean, low, high, resolved}`; a star where the interval excludes 0."""
    if not difference or difference["mean"] is None:
        return MISSING
    mean = f"{difference['mean']:+.{decimals}f}"
    if difference["low"] is None or difference["high"] is None:
        return mean
    star = " *" if difference["resolved"] else ""
    return f"{mean}{star} [{difference['low']:+.{decimals}f}, {difference['high']:+.{decimals}f}]"


def results_table(results: Mapping[str, Any]) -> Table:
    """The table for a terminal, a column per policy; `results["policies"]` as `policy_results` lays it out.

    Four policies fit 80 columns: intervals stand under their means.
    """
    outer = Table.grid()
    for title, columns, rows, note in _blocks(results):
        block = _block(title or "evaluation", columns, f"{note}.")
        for row in rows:
            block.add_row(*(escape(cell.replace(" [", "\n[")) for cell in row))
        outer.add_row(block)
    return outer


def markdown_table(results: Mapping[str, Any]) -> str:
    """The same as GitHub Markdown."""
    parts = []
    for title, columns, rows, note in _blocks(results):
        header = [title, *(policy_label(name, entry) for name, entry in columns.items())]
        parts += [_markdown(header, iter(rows)), f"{note}."]
    return "\n\n".join(parts) + "\n"


def _blocks(results: Mapping[str, Any]) -> Iterator[_BLOCK]:
    """The tables of a results dictionary, in order; the first has no title."""
    yield from _policy_blocks("", results["policies"])
    for name, part in results.get("environments", {}).items():
        yield from _policy_blocks(name, part["policies"])
    yield from _question_blocks(results)


def _policy_blocks(title: str, policies: Mapping[str, Any]) -> Iterator[_BLOCK]:
    """Estimates, and differences to BC, over all episodes or over those of one environment."""
    yield title, policies, list(_estimate_rows(policies)), _ESTIMATE_NOTE
    compared = {name: entry for name, entry in policies.items() if entry["difference_to_bc"]}
    if compared:
        named = f"{title}: difference to BC" if title else "difference to BC"
        yield named, compared, list(_difference_rows(compared)), _DIFFERENCE_NOTE


def _estimate_rows(policies: Mapping[str, Any]) -> Iterator[list[str]]:
    for part, forms in (("metrics", _METRICS), ("timing", _TIMING)):
        for key, (shown, decimals) in forms.items():
            yield [shown, *(plus_minus(entry[part].get(key), decimals) for entry in policies.values())]
    counts = [entry["counts"] for entry in policies.values()]
    yield [_COUNTS, *(f"{c['finished']}/{c['truncated']}/{c['crashed']}" for c in counts)]


def _difference_rows(policies: Mapping[str, Any]) -> Iterator[list[str]]:
    for key, (shown, decimals) in DIFFERENCES.items():
        yield [shown, *(with_interval(entry["difference_to_bc"].get(key), decimals) for entry in policies.values())]


def _question_blocks(results: Mapping[str, Any]) -> Iterator[_BLOCK]:
    """Tables of the answers to each set of questions: title, policies, rows, note."""
    policies = results["policies"]
    others = {name: entry for name, entry in policies.items() if entry["difference_to_bc"]}
    for name, asked in results.get("questions", {}).items():
        given = [asked["policies"][policy] for policy in policies]
        rows = [
            [shown, *(plus_minus(entry["metrics"][key], decimals) for entry in given)]
            for key, (shown, decimals) in questions.METRICS.items()
        ]
        rows.append([questions.COUNTS, *("/".join(map(str, entry["counts"].values())) for entry in given)])
        yield name, policies, rows, f"{asked['n']} questions out of domain; {questions.NOTE}"
        rows = [
            [shown, *(with_interval(asked["policies"][one]["difference_to_bc"][key], decimals) for one in others)]
            for key, (shown, decimals) in questions.DIFFERENCES.items()
        ]
        if others:
            yield f"{name}: to BC", others, rows, _DIFFERENCE_NOTE.replace("tasks", "questions")


def _block(title: str, policies: Mapping[str, Any], note: str) -> Table:
    block = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=note, caption_justify="left")
    block.add_column(title, no_wrap=True)
    for name, entry in policies.items():
        block.add_column(policy_label(name, entry), justify="right")
    return block


def _markdown(header: list[str], rows: Iterator[list[str]]) -> str:
    align = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, align, *rows])
