"""The part of a minigrid level that an episode can change, saved and put back.

Walls and rooms never change; objects move, doors open, and the instruction's verifier remembers what was done. An
object is written down as its number in a fixed order, so that a state holds on any copy of the same episode.
"""

from __future__ import annotations

from typing import Any

LevelState = tuple[Any, ...]

_MEMORY = ("a_done", "b_done", "lastStepMatch")
_TARGETS = ("desc", "desc_move", "desc_fixed")


class Ledger:
    """Knows what is mutable in one episode; made right after the episode was generated."""

    def __init__(self, level: Any) -> None:
        self._level = level
        things = [cell for cell in level.grid.grid if cell is not None and cell.type != "wall"]
        if level.carrying is not None:
            things.append(level.carrying)
        for thing in things:  # grows while it is read: a box may hold something
            if thing.contains is not None:
                things.append(thing.contains)
        self._things = things
        self._number = {id(thing): number for number, thing in enumerate(things)}
        self._doors = [thing for thing in things if thing.type == "door"]
        self._cells: list[Any] = []  # the cells as last saved …
        self._placed: tuple[tuple[int, int], ...] = ()  # … and what was said of them
        self._bare = [None if id(cell) in self._number else cell for cell in level.grid.grid]
        self._clauses = list(_flatten(level.instrs))
        self._descriptions = [vars(part)[name] for part in self._clauses for name in _TARGETS if name in vars(part)]

    def save(self) -> LevelState:
        """The state now: plain tuples of numbers and strings."""
        level = self._level
        return (
            (int(level.agent_pos[0]), int(level.agent_pos[1]), level.agent_dir, level.step_count),
            self._named(level.carrying),
            self._places(),
            tuple(None if it.cur_pos is None else (int(it.cur_pos[0]), int(it.cur_pos[1])) for it in self._things),
            tuple((door.is_open, door.is_locked) for door in self._doors),
            tuple(tuple(vars(part).get(name) for name in _MEMORY) for part in self._clauses),
            tuple(self._named(vars(part).get("preCarrying")) for part in self._clauses),
            tuple(tuple(target.obj_poss) for target in self._descriptions),
        )

    def load(self, state: LevelState) -> None:
        """Put a state of this episode back."""
        (x, y, compass, steps), carrying, cells, places, doors, memories, previous, targets = state
        level, things = self._level, self._things
        level.agent_pos, level.agent_dir, level.step_count = (x, y), compass, steps
        level.carrying = None if carrying is None else things[carrying]
        grid = list(self._bare)
        for place, number in cells:
            grid[place] = things[number]
        level.grid.grid = grid
        for thing, place in zip(things, places, strict=True):
            thing.cur_pos = place
        for door, (is_open, is_locked) in zip(self._doors, doors, strict=True):
            door.is_open, door.is_locked = is_open, is_locked
        for part, memory, carried in zip(self._clauses, memories, previous, strict=True):
            own = vars(part)
            own.update((name, value) for name, value in zip(_MEMORY, memory, strict=True) if name in own)
            if "preCarrying" in own:
                own["preCarrying"] = None if carried is None else things[carried]
        for target, positions in zip(self._descriptions, targets, strict=True):
            target.obj_poss = list(positions)

    def _places(self) -> tuple[tuple[int, int], ...]:
        """(place, number) of the things that stand in a cell; cells are gone through only where one has changed."""
        cells, number = self._level.grid.grid, self._number
        if cells != self._cells:
            self._cells = list(cells)
            self._placed = tuple((place, number[id(cell)]) for place, cell in enumerate(cells) if id(cell) in number)
        return self._placed

    def _named(self, thing: Any) -> int | None:
        return None if thing is None else self._number[id(thing)]


def _flatten(instruction: Any) -> list[Any]:
    parts = [vars(instruction)[name] for name in ("instr_a", "instr_b") if name in vars(instruction)]
    return [instruction, *(clause for part in parts for clause in _flatten(part))]
