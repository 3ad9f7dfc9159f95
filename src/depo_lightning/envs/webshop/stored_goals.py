"""Goals in a folder: numbering those of a million products takes a minute, opening them no time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from depo_lightning.choices import Instructions
from depo_lightning.envs.webshop.catalogue import Catalogue
from depo_lightning.envs.webshop.goals import Goals, Instruction, Numbering, numbered
from depo_lightning.envs.webshop.kept import Lines, kept, line_writer
from depo_lightning.errors import MachineError

_FORMAT = 1  # of the folder
_LINES, _STARTS = "instructions.jsonl", "starts.npy"
_ARRAYS = ("ends", "ceilings", "order")


class StoredInstructions(Sequence[Instruction]):
    """Instructions on the disk, in the order of the catalogue."""

    def __init__(self, folder: Path) -> None:
        self._lines = Lines(folder / _LINES, folder / _STARTS)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, place: int) -> Instruction:  # type: ignore[override]
        row = self._lines[place]
        options = None if row["options"] is None else tuple(row["options"])
        return Instruction(row["asin"], row["text"], tuple(row["attributes"]), options)


def open_goals(
    folder: Path, fingerprint: str, catalogue: Catalogue, kind: Instructions, read: Callable[[], list[Instruction]]
) -> Goals:
    """The goals that `folder` keeps (see `kept`); numbered in memory where nothing can be written.

    Args:
        folder: where they are kept.
        fingerprint: stands for the data that catalogue and instructions are read from.
        catalogue: of the products.
        kind: of the instructions.
        read: the instructions in the order of the catalogue; called only where they are not kept yet.
    """
    told: list[Instruction] = []

    def make(target: Path) -> None:
        told[:] = read()
        with line_writer(target / _LINES, target / _STARTS) as write:
            for instruction in told:
                write(asdict(instruction))
        found = numbered(catalogue, told, kind)
        for name in _ARRAYS:
            np.save(target / f"{name}.npy", getattr(found, name))

    def opened(target: Path) -> Goals:
        arrays: dict[str, Any] = {name: np.load(target / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        return Goals(
            catalogue, StoredInstructions(target), Numbering(**{n: a.view(np.ndarray) for n, a in arrays.items()})
        )

    about = {"format": _FORMAT, "data": fingerprint, "kind": str(kind)}
    try:
        return kept(folder, about, opened, make, "the list of goals")
    except MachineError:  # an index that is shared may be read-only
        told = told or read()
        return Goals(catalogue, told, numbered(catalogue, told, kind))
