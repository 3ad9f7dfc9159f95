"""A data directory for LLaMA-Factory: `llamafactory-cli train` with `dataset_dir` here and `dataset: depo_kto`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from depo_lightning.exports.rows import write_sharegpt, write_sharegpt_kto
from depo_lightning.files import write_atomic
from depo_lightning.trajectory import Label, Trajectory

KTO, SFT = "depo_kto", "depo_sft"  # names of the data sets
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "system_tag": "system",
}


def write_llama_factory(directory: str | Path, trajectories: Iterable[Trajectory]) -> dict[str, int]:
    """Write the labelled episodes for the stages `kto` (every turn, D and U) and `sft` (whole episodes of D).

    Returns:
        Rows by name of data set. Where no episode is desirable, there is nothing to imitate, and no `depo_sft`.

    Raises:
        DataError: no episode carries a label. MachineError: a file cannot be written.
    """
    target, episodes = Path(directory), list(trajectories)
    rows = {KTO: write_sharegpt_kto(target / f"{KTO}.jsonl", episodes)}
    desirable = [episode for episode in episodes if episode.label is Label.DESIRABLE and episode.steps]
    if desirable:
        rows[SFT] = write_sharegpt(target / f"{SFT}.jsonl", desirable)
    described = {name: _described(name, kto_tag=name == KTO) for name in rows}
    write_atomic(target / "dataset_info.json", json.dumps(described, indent=2) + "\n")
    return rows


def _described(name: str, kto_tag: bool) -> dict[str, Any]:
    columns = {"messages": "conversations", **({"kto_tag": "kto_tag"} if kto_tag else {})}
    return {"file_name": f"{name}.jsonl", "formatting": "sharegpt", "columns": columns, "tags": dict(_TAGS)}
