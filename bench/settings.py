"""What every subject of `python -m bench` is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class Unavailable(Exception):
    """A subject cannot be measured here; the message says why and what would be needed."""


@dataclass(frozen=True)
class Settings:
    """How much to measure, and with what.

    Attributes:
        repetitions: how often each of two contenders runs.
        quick: a reduced budget, to see that everything works; the figures say less.
        device: "cpu" or "cuda".
        store: an artifact store whose stages of the default configuration are finished; None where there is none.
        threads: CPU threads of torch in the measured processes.
        case: only those cases of a subject whose name holds this; "" takes all.
    """

    repetitions: int = 3
    quick: bool = False
    device: str = "cpu"
    store: Path | None = None
    threads: int = 1
    case: str = ""

    def artifacts(self, stage: str) -> list[Path]:
        """All published artifacts of a stage, by key.

        Raises:
            Unavailable: there is no store, or nothing of that stage in it.
        """
        if self.store is None:
            raise Unavailable("needs a store with finished stages: --store DIR, filled by `python run.py store=DIR`")
        found = sorted(path.parent for path in (self.store / stage).glob("*/manifest.json"))
        if not found:
            raise Unavailable(f"{self.store} holds no {stage} artifact: run `python run.py store={self.store}` first")
        return found
