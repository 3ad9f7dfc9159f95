"""Trajectories: one episode as data, and the JSONL files that hold them (schema version 1)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from depo_lightning.errors import DataError
from depo_lightning.files import atomic

SCHEMA = 1
MAX_FAULTS = 20


class Label(StrEnum):
    """Verdict of the threshold stage (DEPO, Eq. 3)."""

    DESIRABLE = "desirable"
    UNDESIRABLE = "undesirable"


class Status(StrEnum):
    """How an episode ended. A crash is a fault of the machinery, never a reward of 0."""

    FINISHED = "finished"
    TRUNCATED = "truncated"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Step:
    """One agent turn and the observation it answers.

    `text` is the turn exactly as written; `tokens` counts it with its end-of-turn token in the policy's own
    tokenizer (0 while no tokenizer has counted yet); `valid` is the environment's verdict on the action.
    """

    observation: str
    thought: str
    action: str
    text: str
    tokens: int = 0
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """Where a trajectory comes from: the search tree's id and the child indices from its root."""

    tree: str
    path: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode τ: task, then observation and agent turn in alternation; final reward in [0, 1]."""

    id: str
    env: str
    task: int
    seed: int
    system: str
    steps: tuple[Step, ...]
    reward: float
    success: bool
    status: Status = Status.FINISHED
    level: str = ""
    label: Label | None = None
    source: Source | None = None
    rephrased: bool = False
    error: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def t_step(self) -> int:
        """T_step(τ): number of agent turns, invalid ones included."""
        return len(self.steps)

    @property
    def agent_tokens(self) -> int:
        """All tokens the agent generated in the episode."""
        return sum(step.tokens for step in self.steps)

    @property
    def t_token(self) -> float:
        """T_token(τ): mean agent tokens per step; 0 for an episode without a turn."""
        return self.agent_tokens / len(self.steps) if self.steps else 0.0

    def outline(self) -> Trajectory:
        """The episode without its texts: what labels need, in a tenth of the memory."""
        steps = tuple(_silent(step.tokens, step.valid) for step in self.steps)
        return replace(self, system="", steps=steps, error="", extra={})

    def messages(self, turns: int | None = None) -> list[dict[str, str]]:
        """The conversation as chat messages; with `turns`, up to the observation that turn `turns` answers."""
        chat = [{"role": "system", "content": self.system}] if self.system else []
        for index, step in enumerate(self.steps):
            chat.append({"role": "user", "content": step.observation})
            if index == turns:
                return chat
            chat.append({"role": "assistant", "content": step.text})
        return chat


@lru_cache(maxsize=4096)
def _silent(tokens: int, valid: bool) -> Step:
    return Step("", "", "", "", tokens, valid)


def to_row(trajectory: Trajectory) -> dict[str, Any]:
    """The JSON object of one line."""
    row = {"schema": SCHEMA, **asdict(trajectory)}
    row["T_step"] = trajectory.t_step
    row["T_token"] = trajectory.t_token
    return row


def to_line(trajectory: Trajectory) -> bytes:
    """A line of a trajectories file."""
    return json.dumps(to_row(trajectory), ensure_ascii=False).encode("utf-8") + b"\n"


def from_row(row: Any) -> Trajectory:
    """Build a trajectory from a JSON object.

    Raises:
        DataError: every field that is missing, unknown or of the wrong type, one fault each.
    """
    faults = list(_row_faults(row))
    if faults:
        raise DataError(faults)
    values = {name: row[name] for name in _FIELDS if name in row}
    for name in _SHARED & values.keys():
        values[name] = sys.intern(values[name])
    values["steps"] = tuple(Step(**step) for step in row["steps"])
    values["status"] = Status(row.get("status", Status.FINISHED))
    values["label"] = Label(row["label"]) if row.get("label") is not None else None
    if row.get("source") is not None:
        values["source"] = Source(sys.intern(row["source"]["tree"]), tuple(row["source"].get("path", ())))
    return Trajectory(**values)


def write_jsonl(path: str | os.PathLike[str], trajectories: Iterable[Trajectory]) -> int:
    """Write one line per trajectory, atomically; returns the number of lines.

    Raises:
        MachineError: the file cannot be written; nothing of it is left and an older one is untouched.
    """
    count = 0
    with atomic(path) as file:
        for trajectory in trajectories:
            file.write(to_line(trajectory))
            count += 1
    return count


def read_jsonl(path: str | os.PathLike[str]) -> list[Trajectory]:
    """Read and validate a trajectories file.

    Raises:
        DataError: the file cannot be read, or lines are corrupt; names file:line for each (the first 20).
    """
    return list(iter_jsonl(path))


def iter_jsonl(path: str | os.PathLike[str]) -> Iterator[Trajectory]:
    """Read and validate a trajectories file one line after the other, so that only what is kept needs memory.

    Raises:
        DataError: as `read_jsonl`, with all faults at once: what stands before the first fault has been handed out.
    """
    try:
        with Path(path).open("rb") as lines:
            yield from _parsed(path, lines)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check the path") from error


def _parsed(path: str | os.PathLike[str], lines: Iterable[bytes]) -> Iterator[Trajectory]:
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            trajectory = from_row(_json_object(line))
        except DataError as error:
            faults += [f"{path}:{number}: {fault}" for fault in error.faults]
        except UnicodeDecodeError as error:
            faults.append(f"{path}:{number}: not UTF-8 at byte {error.start}; the file is not a trajectories JSONL")
        except json.JSONDecodeError as error:
            faults.append(f"{path}:{number}: not JSON: {error.msg} at column {error.colno}; remove or mend the line")
        except (ValueError, RecursionError) as error:
            faults.append(f"{path}:{number}: cannot be read: {error}; remove or mend the line")
        else:
            if trajectory.id in seen:
                faults.append(f"{path}:{number}: id {trajectory.id!r} already stands on line {seen[trajectory.id]}")
            seen[trajectory.id] = number
            if not faults:
                yield trajectory
    if faults:
        hidden = len(faults) - MAX_FAULTS
        raise DataError(faults[:MAX_FAULTS] + ([f"… and {hidden} more faults"] if hidden > 0 else []))


def _json_object(line: bytes) -> Any:
    """What a line says; one half of a `\\ud…` pair, which is no character, becomes U+FFFD."""
    text = line.decode("utf-8")
    row = json.loads(text)
    if rb"\u" in line:
        plain = json.dumps(row, ensure_ascii=False)
        whole = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        row = row if whole == plain else json.loads(whole)
    return row


def read_joined(paths: Iterable[str | os.PathLike[str]]) -> list[Trajectory]:
    """Read several trajectories files as one, in the given order.

    A search names its episodes by task and place in the tree, so two searches give the same id to different ones. What
    an earlier file holds word for word is taken once; another trajectory whose id is taken gets the number of its file
    before it, as in `2/babyai-3-0.1`.

    Raises:
        DataError: what `read_jsonl` says of any of them.
    """
    joined: dict[str, Trajectory] = {}
    faults: list[str] = []
    for number, path in enumerate(paths, start=1):
        try:
            found = read_jsonl(path)
        except DataError as error:
            faults += error.faults
            continue
        for item in (item for item in found if joined.get(item.id) != item):
            name = item.id
            while name in joined:
                name = f"{number}/{name}"
            joined[name] = replace(item, id=name)
    if faults:
        raise DataError(faults)
    return list(joined.values())


def with_token_counts(trajectory: Trajectory, counts: Iterable[int]) -> Trajectory:
    """The same trajectory with `tokens` of every step set from `counts`."""
    steps = tuple(replace(step, tokens=count) for step, count in zip(trajectory.steps, counts, strict=True))
    return replace(trajectory, steps=steps)


_FIELDS = tuple(f.name for f in fields(Trajectory))
_SHARED = frozenset(("env", "level", "system"))  # the same in many episodes, and held once
_DERIVED = {"schema", "T_step", "T_token"}
_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "env": (str,),
    "task": (int,),
    "seed": (int,),
    "system": (str,),
    "steps": (list,),
    "reward": (int, float),
    "success": (bool,),
    "rephrased": (bool,),
    "level": (str,),
    "error": (str,),
    "extra": (dict,),
}
_REQUIRED = ("id", "env", "task", "seed", "system", "steps", "reward", "success")
_STEP_TYPES: dict[str, type] = {
    "observation": str,
    "thought": str,
    "action": str,
    "text": str,
    "tokens": int,
    "valid": bool,
}


def _is(value: Any, *types: type) -> bool:
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _is_source(value: Any) -> bool:
    path = value.get("path", []) if isinstance(value, dict) else None
    return (
        path is not None and isinstance(value.get("tree"), str) and _is(path, list) and all(_is(i, int) for i in path)
    )


def _row_faults(row: Any) -> Iterator[str]:
    if not isinstance(row, dict):
        yield f"expected a JSON object, found {type(row).__name__}"
        return
    if row.get("schema") != SCHEMA:
        yield f"field 'schema' is {row.get('schema')!r}; this version reads schema {SCHEMA}"
        return
    yield from (f"field {name!r} is missing" for name in _REQUIRED if name not in row)
    yield from (f"field {name!r} is unknown" for name in row if name not in _FIELDS and name not in _DERIVED)
    for name, types in _TYPES.items():
        if name in row and not _is(row[name], *types):
            yield f"field {name!r} is {row[name]!r}; expected {' or '.join(t.__name__ for t in types)}"
    if _is(row.get("reward"), int, float) and not 0 <= row["reward"] <= 1:
        yield f"field 'reward' is {row['reward']!r}; expected a number in [0, 1]"
    if row.get("label") is not None and row["label"] not in list(Label):
        yield f"field 'label' is {row['label']!r}; expected null or one of {[str(x) for x in Label]}"
    if row.get("status", "finished") not in list(Status):
        yield f"field 'status' is {row['status']!r}; expected one of {[str(x) for x in Status]}"
    source = row.get("source")
    if source is not None and not _is_source(source):
        yield f"field 'source' is {source!r}; expected null or an object with 'tree' (str) and 'path' (list of int)"
    for index, step in enumerate(row["steps"] if isinstance(row.get("steps"), list) else ()):
        yield from _step_faults(index, step)


def _step_faults(index: int, step: Any) -> Iterator[str]:
    if not isinstance(step, dict):
        yield f"steps[{index}] is {type(step).__name__}; expected an object"
        return
    yield from (f"steps[{index}].{name} is unknown" for name in step if name not in _STEP_TYPES)
    for name, kind in _STEP_TYPES.items():
        if name not in step:
            if name not in ("tokens", "valid"):
                yield f"steps[{index}].{name} is missing"
        elif not _is(step[name], kind):
            yield f"steps[{index}].{name} is {step[name]!r}; expected {kind.__name__}"
    if _is(step.get("tokens"), int) and step["tokens"] < 0:
        yield f"steps[{index}].tokens is {step['tokens']}; expected 0 or more"
