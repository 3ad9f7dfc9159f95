"""What the agent sees: 7 × 7 cells with the agent in the middle of the nearest row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

from minigrid.core.world_object import Wall

SIZE = 7
MIDDLE = SIZE // 2
HERE = (SIZE - 1) * SIZE + MIDDLE

View = tuple[str | None, ...]
"""Names of the cells, farthest row first, each row from left to right: "red ball", "yellow closed door", "grey wall",
"" where empty, None where out of sight. The agent's own cell holds what it carries."""

_AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))  # the cell in front, by direction: right, down, left, up
_OUTSIDE = Wall()
_COLUMNS = tuple(tuple(column for column in range(SIZE) if bits >> column & 1) for bits in range(1 << SIZE))
_BITS = tuple(1 << column for column in range(SIZE))


def look(level: Any) -> View:
    """The view of minigrid level `level`; two views are equal exactly if minigrid's images are."""
    x, y = level.agent_pos
    grid = level.grid
    cells = [*grid.grid, _OUTSIDE]
    view: list[str | None] = [None] * (SIZE * SIZE)
    seen, start = 1 << MIDDLE, (SIZE - 1) * SIZE
    for take in _window(int(x), int(y), level.agent_dir, grid.width, grid.height):
        row = take(cells)
        clear = 0
        for bit, cell in zip(_BITS, row, strict=True):
            if cell is None or cell.see_behind():
                clear |= bit
        seen, beyond = _spread(seen, clear)
        for column in _COLUMNS[seen]:
            cell = row[column]
            view[start + column] = "" if cell is None else describe(cell)
        if not beyond:
            break
        seen = beyond
        start -= SIZE
    view[HERE] = describe(level.carrying)
    return tuple(view)


def describe(cell: Any) -> str:
    """Name of a minigrid object: colour, a door's state, kind; "" for None."""
    if cell is None:
        return ""
    if cell.type == "door":
        return _name(cell.color, "open door" if cell.is_open else "locked door" if cell.is_locked else "closed door")
    return _name(cell.color, cell.type)


@cache
def _name(colour: str, kind: str) -> str:
    """One string object per name: views compare and hash faster."""
    return f"{colour} {kind}"


@lru_cache(maxsize=8192)
def _window(x: int, y: int, compass: int, width: int, height: int) -> tuple[Callable[[Sequence[Any]], Any], ...]:
    """What takes the rows of the view, nearest first, from the list of a level's cells with the outside at its end."""
    fx, fy = _AHEAD[compass]
    rows = []
    for ahead in range(SIZE):
        places = [(x + fx * ahead - fy * aside, y + fy * ahead + fx * aside) for aside in range(-MIDDLE, MIDDLE + 1)]
        rows.append(itemgetter(*(v * width + u if 0 <= u < width and 0 <= v < height else -1 for u, v in places)))
    return tuple(rows)


@cache
def _spread(seen: int, clear: int) -> tuple[int, int]:
    """One row of minigrid's line of sight, as bits: sight passes sideways and on to the next row through clear cells.

    Returns:
        The cells of this row in sight, and those of the next row that this one opens.
    """
    beyond = 0
    sweeps = [(column, 1) for column in range(SIZE - 1)] + [(column, -1) for column in range(SIZE - 1, 0, -1)]
    for column, side in sweeps:
        if seen >> column & clear >> column & 1:
            reached = 1 << column | 1 << (column + side)
            seen |= reached
            beyond |= reached
    return seen, beyond
