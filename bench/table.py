"""A measured row, and the table of all rows: for the terminal, in Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich import box
from rich.table import Table

HEADINGS = ("subject", "what", "unit", "ours", "peer", "figure", "ratio", "target", "MiB ours", "MiB peer", "note")
_NUMBERS = frozenset({"ours", "figure", "ratio", "target", "MiB ours", "MiB peer"})


@dataclass(frozen=True)
class Row:
    """One comparison, or one figure of ours where there is no peer.

    Attributes:
        subject: "environment".
        what: "40 levels, random play".
        unit: "steps/s" (higher is better) or "s" (lower is better).
        ours: one figure per repetition.
        peer: as many, taken by turns with ours; empty where there is no peer.
        peer_name: "AgentGym's wrapper".
        higher_is_better: which way the figures point.
        ours_mib, peer_mib: peak memory above the loaded state.
        target: the ratio to reach.
        note: what a reader must know about the figure.
    """

    subject: str
    what: str
    unit: str
    ours: list[float]
    peer: list[float]
    peer_name: str = ""
    higher_is_better: bool = True
    ours_mib: float | None = None
    peer_mib: float | None = None
    target: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the peer, by medians."""
        return self._ratio(median(self.ours), median(self.peer)) if self.peer else None

    @property
    def ratio_range(self) -> tuple[float, float] | None:
        """Least and greatest ratio of one repetition, where there are several."""
        if len(self.peer) < 2:
            return None
        ratios = [self._ratio(ours, peer) for ours, peer in zip(self.ours, self.peer, strict=True)]
        return min(ratios), max(ratios)

    def _ratio(self, ours: float, peer: float) -> float:
        return ours / peer if self.higher_is_better else peer / ours

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of HEADINGS."""
        ratio = "" if self.ratio is None else f"{number(self.ratio)}×"
        if self.ratio_range is not None:
            ratio += " ({}–{})".format(*map(number, self.ratio_range))
        return (
            self.subject,
            self.what,
            self.unit,
            number(median(self.ours)),
            self.peer_name,
            number(median(self.peer)) if self.peer else "",
            ratio,
            "" if self.target is None else f"{number(self.target)}×",
            "" if self.ours_mib is None else number(self.ours_mib),
            "" if self.peer_mib is None else number(self.peer_mib),
            self.note,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: every repetition, and what the table shows of them."""
        medians = {"ours_median": median(self.ours), "peer_median": median(self.peer) if self.peer else None}
        return asdict(self) | medians | {"ratio": self.ratio, "ratio_range": self.ratio_range}


def number(value: float) -> str:
    """Three significant digits, and none lost before the decimal point: 0.0123, 4.57, 12.3, 1234."""
    if value == 0 or not abs(value) < 1e15:
        return f"{value:g}"
    digits = max(0, 2 - _exponent(value))
    return f"{value:.{digits}f}"


def _exponent(value: float) -> int:
    return int(f"{value:.2e}".split("e")[1])


def rich_table(rows: Iterable[Row]) -> Table:
    """The table for a terminal; columns that no row fills are left out."""
    cells = [row.cells() for row in rows]
    shown = _shown(cells)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in shown:
        heading = HEADINGS[column]
        numeric = heading in _NUMBERS
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric)
    for row in cells:
        table.add_row(*(row[column] for column in shown))
    return table


def markdown_table(rows: Iterable[Row]) -> str:
    """The same table in Markdown."""
    cells = [row.cells() for row in rows]
    shown = _shown(cells)
    lines = [
        [HEADINGS[column] for column in shown],
        ["---:" if HEADINGS[column] in _NUMBERS else "---" for column in shown],
        *([row[column].replace("|", "\\|") for column in shown] for row in cells),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(cells: Sequence[tuple[str, ...]]) -> list[int]:
    always = ("subject", "what", "unit", "ours")
    return [i for i, heading in enumerate(HEADINGS) if heading in always or any(row[i] for row in cells)]
