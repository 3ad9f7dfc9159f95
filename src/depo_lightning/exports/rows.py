"""Labelled episodes as other trainers read them: TRL's unpaired preferences, LLaMA-Factory's ShareGPT."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from depo_lightning.errors import DataError
from depo_lightning.files import write_atomic
from depo_lightning.trajectory import Label, Trajectory

_SHAREGPT_NAMES = {"system": "system", "user": "human", "assistant": "gpt"}


def preference_rows(trajectories: Iterable[Trajectory]) -> Iterator[dict[str, Any]]:
    """One row per agent turn of the labelled episodes, in TRL's conversational unpaired-preference format.

    Yields:
        `prompt`: the chat up to the observation; `completion`: the turn, as one assistant message; `label`: True
        for desirable. Episodes without a label have no row.
    """
    for item in trajectories:
        if item.label is None:
            continue
        for index, step in enumerate(item.steps):
            yield {
                "prompt": item.messages(index),
                "completion": [{"role": "assistant", "content": step.text}],
                "label": item.label is Label.DESIRABLE,
            }


def sharegpt_kto_rows(trajectories: Iterable[Trajectory]) -> Iterator[dict[str, Any]]:
    """One row per agent turn of the labelled episodes, for LLaMA-Factory's KTO stage.

    It trains on the last message of a conversation only, so each turn is a conversation of its own.

    Yields:
        `conversations`: messages with `from` (system, human, gpt) and `value`; `kto_tag`: True for desirable.
    """
    for row in preference_rows(trajectories):
        yield {"conversations": _sharegpt(row["prompt"] + row["completion"]), "kto_tag": row["label"]}


def sharegpt_rows(trajectories: Iterable[Trajectory]) -> Iterator[dict[str, Any]]:
    """One row per episode, labelled or not, for LLaMA-Factory's supervised stage, which trains on every turn."""
    for item in trajectories:
        if item.steps:
            yield {"conversations": _sharegpt(item.messages())}


def write_preferences(path: str | os.PathLike[str], trajectories: Iterable[Trajectory]) -> int:
    """Write `preference_rows` as JSONL, atomically; returns the number of rows.

    Raises:
        DataError: no episode carries a label.
        MachineError: the file cannot be written.
    """
    return _write(path, preference_rows(trajectories))


def write_sharegpt_kto(path: str | os.PathLike[str], trajectories: Iterable[Trajectory]) -> int:
    """Write `sharegpt_kto_rows` as JSONL, atomically; returns the number of rows.

    `llama_factory.write_llama_factory` writes it with the `dataset_info.json` that LLaMA-Factory wants beside it.

    Raises:
        DataError: no episode carries a label.
        MachineError: the file cannot be written.
    """
    return _write(path, sharegpt_kto_rows(trajectories))


def write_sharegpt(path: str | os.PathLike[str], trajectories: Iterable[Trajectory]) -> int:
    """Write `sharegpt_rows` as JSONL, atomically; returns the number of rows.

    Raises:
        DataError: no episode has a turn.
        MachineError: the file cannot be written.
    """
    return _write(path, sharegpt_rows(trajectories))


def _sharegpt(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"from": _SHAREGPT_NAMES[message["role"]], "value": message["content"]} for message in messages]


def _write(path: str | os.PathLike[str], rows: Iterator[dict[str, Any]]) -> int:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    if not lines:
        raise DataError("there is nothing to export: no episode has a turn and the label it takes; label them first")
    write_atomic(path, "".join(lines))
    return len(lines)
