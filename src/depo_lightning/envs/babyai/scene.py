"""What the protocol says about a view: its description, the actions on offer, and the reasons against others.

All strings are the reference's format, double blanks included. A scene depends on nothing but the view, the compass
direction and the carried object, so scenes are remembered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from depo_lightning.envs.babyai.navigate import DROP, FORWARD, LEFT, PICKUP, RIGHT, TOGGLE, Paths
from depo_lightning.envs.babyai.view import HERE, MIDDLE, SIZE, View

CHECK = "check available actions"
UNCHANGED = "No change in state."
UNKNOWN = "The action is not recognized. Please check valid actions."
COMPLETED = "\n The task is completed."

Plan = tuple[int, ...]
"""Low-level actions, played until one of them changes nothing in view."""

_OBSTACLES = frozenset({"wall", "box", "lava", "ball", "key"})
_BARRIERS = frozenset({"wall", "box"})
_LISTED = frozenset({"door", "key", "ball", "box", "goal", "lava"})

# (index in the view, rows ahead, columns to the right), nearest first, ties from far left to near right
_SCAN = sorted(
    (
        (row * SIZE + column, SIZE - 1 - row, column - MIDDLE)
        for row in range(SIZE)
        for column in range(SIZE)
        if row * SIZE + column != HERE
    ),
    key=lambda cell: cell[1] + abs(cell[2]),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the environment can say before the next action; shared, so not to be changed."""

    description: str
    actions: dict[str, Plan]
    reasons: dict[str, str]
    menu: str


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A listed object; `kind` is the last word of its name, `number` counts equal names from the nearest."""

    name: str
    kind: str
    number: int
    ahead: int
    aside: int


@dataclass(slots=True)
class _Sights:
    """A view sorted out. `barrier` is the nearest wall or box straight ahead; `empty` means nothing at all in sight."""

    listed: list[_Sighting] = field(default_factory=list)
    obstacles: set[tuple[int, int]] = field(default_factory=set)
    barrier: tuple[str, int] | None = None
    empty: bool = True


@lru_cache(maxsize=2048)
def survey(view: View, compass: int, carrying: str) -> Scene:
    """The scene of a view.

    Args:
        view: what the agent sees.
        compass: its direction, 0 to 3 for right, down, left, up.
        carrying: name of what it carries, "" for nothing.
    """
    sights = _sort_out(view)
    offers = _Offers(sights, compass, carrying)
    offers.collect()
    menu = "\nAvailable actions: [" + ", ".join(f'"{action}"' for action in offers.actions) + "]"
    return Scene(_description(sights, carrying), offers.actions, offers.reasons, menu)


def _sort_out(view: View) -> _Sights:
    sights = _Sights()
    numbers: Counter[str] = Counter()
    for index, ahead, aside in _SCAN:
        name = view[index]
        if not name:
            continue
        kind = name[name.rindex(" ") + 1 :]
        if kind in _OBSTACLES:
            sights.obstacles.add((ahead, aside))
        if kind in _BARRIERS and aside == 0 and sights.barrier is None:
            sights.barrier = kind, ahead
        if kind in _LISTED:
            numbers[name] += 1
            sights.listed.append(_Sighting(name, kind, numbers[name], ahead, aside))
        sights.empty = sights.empty and kind not in _LISTED and kind != "wall"
    return sights


def _description(sights: _Sights, carrying: str) -> str:
    if sights.empty:
        parts = ["You cannot see any objects within sight."]
    else:
        parts = ["In front of you in this room, you can see several objects: "]
        parts += [f"There is a {it.name} {it.number} {_place(it.ahead, it.aside)}.  " for it in sights.listed]
    parts.append("The room has walls around you. ")
    if sights.barrier is not None:
        parts.append(f"You are facing a {sights.barrier[0]} {sights.barrier[1]} steps away. ")
    parts.append(f"You are carrying a {carrying}." if carrying else "You are not carrying anything.")
    return "".join(parts)


def _place(ahead: int, aside: int) -> str:
    if aside == 0:
        return f"right in front of you {ahead} steps away"
    return f"{ahead} steps in front of you and {abs(aside)} steps to your {'right' if aside > 0 else 'left'}"


class _Offers:
    """Fills `actions` and `reasons` in the reference's order."""

    def __init__(self, sights: _Sights, compass: int, carrying: str) -> None:
        self.actions: dict[str, Plan] = {}
        self.reasons: dict[str, str] = {}
        self._sights, self._carrying = sights, carrying
        if sights.listed:
            paths = Paths(sights.obstacles, compass)
            self._facing = {it: paths.facing(it.ahead, it.aside) for it in sights.listed}
            self._onto = {it: paths.onto(it.ahead, it.aside) for it in sights.listed if it.kind in ("door", "goal")}

    def collect(self) -> None:
        self._move()
        listed = self._sights.listed
        if not self._carrying:
            self._approach("pickup", [it for it in listed if it.kind not in ("door", "goal")], (PICKUP,))
        self._drop()
        doors: Counter[str] = Counter()
        for it in listed:
            if it.kind == "door":
                doors[it.name] += 1
                self._door(it, doors)
        for it in listed:
            if it.kind == "goal":
                self._offer("go to goal", self._onto[it], (), "You cannot go to the goal")
        self._approach("go to", [it for it in listed if it.kind != "goal"], ())
        self.actions[CHECK] = ()

    def _move(self) -> None:
        self.actions.update({"turn left": (LEFT,), "turn right": (RIGHT,)})
        if self._sights.barrier is None or self._sights.barrier[1] > 1:
            self.actions["move forward"] = (FORWARD,)
        else:
            self.reasons["move forward"] = "There is a barrier in front of you, you can't move forward."

    def _approach(self, verb: str, targets: list[_Sighting], then: Plan) -> None:
        """Actions named by a running number that, unlike the description's, skips what is out of reach."""
        reached: Counter[str] = Counter()
        for it in targets:
            path = self._facing[it]
            label = f"{it.name} {reached[it.name] + 1}"
            reached[it.name] += path is not None
            self._offer(f"{verb} {label}", path, then, f"You cannot {verb} {label}")

    def _drop(self) -> None:
        if not self._carrying:
            self.reasons["drop"] = "You cannot drop the object, as you are not carrying anything."
        elif (1, 0) in self._sights.obstacles:
            self.reasons["drop"] = "You cannot drop the object, as there is already an object in front of you."
        else:
            self.actions["drop"] = (DROP,)

    def _door(self, it: _Sighting, doors: Counter[str]) -> None:
        colour, state, _ = it.name.split(" ")
        walk, toggle = f"go through {it.name} {it.number}", f"toggle and go through {it.name} {it.number}"
        if state == "open":
            self._offer(walk, self._onto[it], (), f"You cannot {walk}")
            return
        if state == "locked":
            refusal = self._lock_refusal(colour)
            if refusal:
                self.reasons[toggle] = f"You cannot {toggle}, as {refusal}"
                return
        path = self._facing[it]
        # The reference prints its table of counts where the door's number belongs.
        self._offer(toggle, path, (TOGGLE, FORWARD), f"You cannot toggle and go through {it.name} {dict(doors)}")
        if path == ():
            self.actions["toggle"] = (TOGGLE,)
        if state == "closed":
            self.reasons[walk] = f"You cannot {walk}, as it is closed. You should toggle it first."

    def _lock_refusal(self, colour: str) -> str:
        if not self._carrying.endswith(" key"):
            return "you are not carrying a key."
        if self._carrying != f"{colour} key":
            return "the color of the key you are carrying does not match the color of door."
        return ""

    def _offer(self, action: str, path: Plan | None, then: Plan, refusal: str) -> None:
        if path is None:
            self.reasons[action] = f"{refusal}, as there is no path leading to it."
        else:
            self.actions[action] = path + then
