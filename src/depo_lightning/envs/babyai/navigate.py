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

_Ways = tuple[tuple[tuple[int, int], ...], ...]


class Paths:
    """Shortest paths from where the agent stands, to any cell in reach.

    The reference's queue holds a pose once per way that leads to it, a number that grows exponentially, and the last
    way found counts. Every action changes the parity of a pose (row + column + direction), so the queue is sorted by
    distance, and two ordinary searches tell all that is needed: a pose's turn in the queue comes from the one that
    tries the actions in the reference's order, the last way to it from the one that tries them in reverse.
    """

    def __init__(self, blocked: Iterable[tuple[int, int]], compass: int) -> None:
        """Search everything in reach.

        Args:
            blocked: cells (ahead, aside) that cannot be entered; never the agent's own.
            compass: the agent's direction, 0 to 3 for right, down, left, up.
        """
        free = bytearray(b"\1") * (_SPAN * _SPAN * 4)
        for ahead, aside in blocked:
            pose = _pose(ahead, aside, 0)
            free[pose : pose + 4] = b"\0\0\0\0"
        forward, backward = _neighbours(compass)
        self._turns, self._ways = _Search(free[:], forward), _Search(free, backward)

    def facing(self, ahead: int, aside: int) -> tuple[int, ...] | None:
        """Low-level actions that bring the agent next to a cell and turn it to the cell; None if there is no way."""
        return self._nearest(_facing(ahead, aside))

    def onto(self, ahead: int, aside: int) -> tuple[int, ...] | None:
        """Low-level actions that bring the agent onto a cell; None if there is no way."""
        return self._nearest(_onto(ahead, aside))

    def _nearest(self, poses: tuple[int, ...]) -> tuple[int, ...] | None:
        pose = self._turns.first(poses)
        if pose is None or self._ways.first((pose,)) is None:
            return None
        path: list[int] = []
        while pose != _START:
            pose, action = self._ways.found[pose]
            path.append(action)
        return tuple(reversed(path))


class _Search:
    """A breadth-first search that goes only as far as it is asked.

    Attributes:
        found: pose → the pose before it and the action between, in the order found.
    """

    def __init__(self, free: bytearray, ways: _Ways) -> None:
        """Begin at the agent.

        Args:
            free: by pose, 1 where it can be entered; changed.
            ways: (pose, action) of what one action leads to, by pose.
        """
        self.found = {_START: (_START, FORWARD)}
        self._free, self._ways = free, ways
        self._queue = [_START]
        self._done = 0  # poses of the queue that have been gone on from
        free[_START] = 0

    def first(self, wanted: tuple[int, ...]) -> int | None:
        """The one of `wanted` that is found first; None if none is ever found."""
        found, free, ways, queue = self.found, self._free, self._ways, self._queue
        known = [pose for pose in wanted if pose in found]
        if known:
            return min(known, key=queue.index)
        while self._done < len(queue):
            pose = queue[self._done]
            self._done += 1
            hit = None
            for target, action in ways[pose]:
                if free[target]:
                    free[target] = 0
                    found[target] = pose, action
                    queue.append(target)
                    if hit is None and target in wanted:
                        hit = target
            if hit is not None:
                return hit
        return None


def _pose(ahead: int, aside: int, turn: int) -> int:
    return ((ahead + _BACK) * _SPAN + aside + _SIDE) * 4 + turn


_START = _pose(0, 0, 0)


@cache
def _facing(ahead: int, aside: int) -> tuple[int, ...]:
    """The poses beside a cell that look at it."""
    return tuple(
        _pose(ahead - du, aside - dv, turn)
        for turn, (du, dv) in enumerate(_TURNS)
        if -_BACK <= ahead - du < _SPAN - _BACK and -_SIDE <= aside - dv < _SPAN - _SIDE
    )


@cache
def _onto(ahead: int, aside: int) -> tuple[int, ...]:
    """The poses in a cell."""
    return tuple(_pose(ahead, aside, turn) for turn in range(4))


@cache
def _neighbours(compass: int) -> tuple[_Ways, _Ways]:
    """The ways on from every pose, in the order the reference tries them, and in reverse."""
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
    return tuple(table), tuple(ways[::-1] for ways in table)
