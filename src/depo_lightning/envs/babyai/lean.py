"""minigrid's levels with less work: the same episodes, move by move and random number by random number.

What is replaced, by `TextLevel` or in minigrid's own modules where it names its classes directly, is what takes most
of its time: the image of every step, walls made one by one and twice, and searches of the whole grid cell by cell.
"""

from __future__ import annotations

from typing import Any

from minigrid.core import roomgrid
from minigrid.core.constants import DIR_TO_VEC
from minigrid.core.grid import Grid
from minigrid.core.world_object import Wall, WorldObj
from minigrid.envs.babyai.core import roomgrid_level
from minigrid.envs.babyai.core.roomgrid_level import RejectSampling
from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc

from depo_lightning.envs.babyai.view import View, look

_VECTORS = tuple((int(dx), int(dy)) for dx, dy in DIR_TO_VEC)
_WALLS: list[Wall] = []  # one for each place of a grid, shared by all levels: walls never change


class TextLevel:
    """Mixin over a minigrid level: sees like the text agent, and remembers locked rooms like the old generator."""

    agent_pos: Any
    agent_dir: int
    grid: Any
    _locked_room: Any = None

    @property
    def locked_room(self) -> Any:
        return self._locked_room

    @locked_room.setter
    def locked_room(self, room: Any) -> None:
        if room is not None:
            self._locked_room = room

    @property
    def front_pos(self) -> tuple[int, int]:
        """The cell ahead, as plain integers instead of an array."""
        x, y = self.agent_pos
        dx, dy = _VECTORS[self.agent_dir]
        return int(x) + dx, int(y) + dy

    def gen_obs(self) -> View:
        """Stands in for minigrid's image, which costs ten times as much and says the same."""
        return look(self)

    def check_objs_reachable(self, raise_exc: bool = True) -> bool:
        """Whether the agent can get to everything without moving anything.

        Raises:
            RejectSampling: it cannot, and `raise_exc` is set.
        """
        cells, width = self.grid.grid, self.grid.width
        x, y = self.agent_pos
        stack = [int(y) * width + int(x)]
        reached = bytearray(len(cells))
        while stack:  # never leaves the grid: its border is walls, which are not passed
            place = stack.pop()
            if not reached[place]:
                reached[place] = 1
                if cells[place] is None or cells[place].type == "door":
                    stack += (place + 1, place - 1, place + width, place - width)
        for cell, at in zip(cells, reached, strict=True):
            if not at and cell is not None and cell.type != "wall":
                if raise_exc:
                    raise RejectSampling("unreachable object")
                return False
        return True


class _LeanGrid(Grid):
    """A grid that takes the walls of its rooms from a common stock."""

    def wall_rect(self, x: int, y: int, w: int, h: int) -> None:
        _WALLS.extend(Wall() for _ in range(self.width * self.height - len(_WALLS)))
        first, last = y * self.width + x, (y + h - 1) * self.width + x
        for side in (
            slice(first, first + w),
            slice(last, last + w),
            slice(first, last + 1, self.width),
            slice(first + w - 1, last + w, self.width),
        ):
            self.grid[side] = _WALLS[side]


def _find_matching_objs(
    self: ObjDesc, env: Any, use_location: bool = True
) -> tuple[list[WorldObj], list[tuple[int, int]]]:
    """`ObjDesc.find_matching_objs`: objects and places in the order of columns, in one pass over the cells."""
    level = env.unwrapped
    width, kind, colour = level.grid.width, self.type, self.color
    matches = sorted(
        (place % width, place // width, cell)
        for place, cell in enumerate(level.grid.grid)
        if cell is not None and (kind is None or cell.type == kind) and (colour is None or cell.color == colour)
    )  # by column and row, which no two share
    if use_location:
        if self.loc is not None:
            matches = [match for match in matches if _lies(level, match[0], match[1], self.loc)]
        self.obj_set = [cell for _, _, cell in matches]
    else:
        tracked = {id(thing) for thing in self.obj_set}
        matches = [match for match in matches if id(match[2]) in tracked]
    self.obj_poss = [(x, y) for x, y, _ in matches]
    return self.obj_set, self.obj_poss


def _lies(level: Any, x: int, y: int, where: str) -> bool:
    """Whether a place lies in the agent's room on the side that a description names."""
    if not level.room_from_pos(*level.agent_pos).pos_inside(x, y):
        return False
    dx, dy = _VECTORS[level.agent_dir]
    right, down = x - int(level.agent_pos[0]), y - int(level.agent_pos[1])
    ahead, aside = right * dx + down * dy, down * dx - right * dy
    return {"left": aside < 0, "right": aside > 0, "front": ahead > 0, "behind": ahead < 0}[where]


def _verify_going(self: GoToInstr, action: int) -> str:
    """`GoToInstr.verify_action` without comparing arrays: success where the agent faces one of the places."""
    return "success" if tuple(self.env.front_pos) in self.desc.obj_poss else "continue"


def _say_nothing(*_: object) -> None:
    """Level generation prints every attempt it rejects; nobody reads that."""


roomgrid_level.print = _say_nothing  # type: ignore[attr-defined]
roomgrid.Grid = _LeanGrid  # type: ignore[misc]
ObjDesc.find_matching_objs = _find_matching_objs  # type: ignore[method-assign]
GoToInstr.verify_action = _verify_going  # type: ignore[method-assign]
