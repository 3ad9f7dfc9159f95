"""What the agent sees: 7 × 7 cells with the agent in the middle of the nearest row."""

from __future__ import annotations

from functools import cache
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


def look(level: Any) -> View:
    """The view of minigrid level `level`; two views are equal exactly if minigrid's images are."""
    x, y = int(level.agent_pos[0]), int(level.agent_pos[1])
    cells, width, height = level.grid.grid, level.grid.width, level.grid.height
    patch = [
        cells[(y + dy) * width + x + dx] if 0 <= x + dx < width and 0 <= y + dy < height else _OUTSIDE
        for dx, dy in _OFFSETS[level.agent_dir]
    ]
    view: list[str | None] = [None] * (SIZE * SIZE)
    seen = 1 << MIDDLE
    for start in range((SIZE - 1) * SIZE, -1, -SIZE):
        row = patch[start : start + SIZE]
        clear = sum(1 << column for column, cell in enumerate(row) if cell is None or cell.see_behind())
        seen, beyond = _spread(seen, clear)
        for column, cell in enumerate(row):
            if seen >> column & 1:
                view[start + column] = describe(cell)
        seen = beyond
    view[HERE] = describe(level.carrying)
    return tuple(view)


def describe(cell: Any) -> str:
    """Name of a minigrid object: colour, a door's state, kind; "" for None."""
    if cell is None:
        return ""
    if cell.type == "door":
        return f"{cell.color} {'open' if cell.is_open else 'locked' if cell.is_locked else 'closed'} door"
    return f"{cell.color} {cell.type}"


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


_OFFSETS: tuple[tuple[tuple[int, int], ...], ...] = tuple(
    tuple(
        (fx * ahead - fy * aside, fy * ahead + fx * aside)
        for ahead in range(SIZE - 1, -1, -1)
        for aside in range(-MIDDLE, MIDDLE + 1)
    )
    for fx, fy in _AHEAD
)
