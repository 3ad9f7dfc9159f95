"""Paths over the cells in view: the breadth-first search behind the macro actions.

Cells are counted from the agent: `ahead` rows in front of it, `aside` columns to its right. The search is the
reference's, peculiarities included: it walks through closed doors and unseen cells, may use one row behind the agent
or one column beside the view (which of them depends on the compass direction), and among several shortest paths takes
the one whose poses were discovered last.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE = range(6)

_SPAN = 8  # cells per side of the table: 7 in view and one beyond
_BACK, _SIDE = 1, 3  # cells behind the agent, and to its left
_TURNS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # the cell in front, by direction: ahead, right, back, left


class Paths:
    """Shortest paths from where the agent stands, to any cell in reach."""

    def __init__(self, blocked: Iterable[tuple[int, int]], compass: int) -> None:
        """Search everything in reach.

        Args:
            blocked: cells (ahead, aside) that cannot be entered.
            compass: the agent's direction, 0 to 3 for right, down, left, up.
        """
        closed = bytearray(_SPAN * _SPAN * 4)
        for ahead, aside in blocked:
            pose = _pose(ahead, aside, 0)
            closed[pose : pose + 4] = b"\1\1\1\1"
        neighbours = _neighbours(compass)
        via: dict[int, tuple[int, int]] = {}
        rank: dict[int, int] = {}
        queue = [_pose(0, 0, 0)]
        # A pose enters the queue once per way that leads to it, and the last way found counts.
        for pose in queue:
            if not closed[pose]:
                closed[pose] = 1
                rank[pose] = len(rank)
            for target, action in neighbours[pose]:
                if not closed[target]:
                    queue.append(target)
                    via[target] = (pose, action)
        self._via, self._rank = via, rank

    def facing(self, ahead: int, aside: int) -> tuple[int, ...] | None:
        """Low-level actions that bring the agent next to a cell and turn it to the cell; None if there is no way."""
        poses = [
            _pose(ahead - du, aside - dv, turn)
            for turn, (du, dv) in enumerate(_TURNS)
            if -_BACK <= ahead - du < _SPAN - _BACK and -_SIDE <= aside - dv < _SPAN - _SIDE
        ]
        return self._nearest(poses)

    def onto(self, ahead: int, aside: int) -> tuple[int, ...] | None:
        """Low-level actions that bring the agent onto a cell; None if there is no way."""
        return self._nearest([_pose(ahead, aside, turn) for turn in range(4)])

    def _nearest(self, poses: list[int]) -> tuple[int, ...] | None:
        found = [pose for pose in poses if pose in self._rank]
        if not found:
            return None
        pose = min(found, key=self._rank.__getitem__)
        path: list[int] = []
        while self._rank[pose]:
            pose, action = self._via[pose]
            path.append(action)
        return tuple(reversed(path))


def _pose(ahead: int, aside: int, turn: int) -> int:
    return ((ahead + _BACK) * _SPAN + aside + _SIDE) * 4 + turn


@cache
def _neighbours(compass: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """(pose, action) of what one action leads to, by pose, in the order the search tries them."""
    rows = range(-_BACK if compass in (0, 1) else 0, _SPAN - _BACK)
    columns = range(-_SIDE, _SPAN - _SIDE if compass in (1, 2) else _SPAN - _SIDE - 1)
    table: list[tuple[tuple[int, int], ...]] = []
    for ahead in range(-_BACK, _SPAN - _BACK):
        for aside in range(-_SIDE, _SPAN - _SIDE):
            for turn, (du, dv) in enumerate(_TURNS):
                turned = (
                    (_pose(ahead, aside, (turn - 1) % 4), LEFT),
                    (_pose(ahead, aside, (turn + 1) % 4), RIGHT),
                )
                inside = ahead + du in rows and aside + dv in columns
                forward = ((_pose(ahead + du, aside + dv, turn), FORWARD),) if inside else ()
                table.append(forward + turned)
    return tuple(table)
