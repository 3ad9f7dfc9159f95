"""A hand-written way of playing BabyAI from its text: fetch what is in view, else search in a fixed order.

The search is a rule a small model can imitate from the words alone: turn right until all four sides have been
seen, then leave through a door, else go to the farthest object, else walk three steps; then look around again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from depo_lightning.agents.babyai_text import Situation, Target, Task, Thing, View

TURNS = ("turn left", "turn right")
_ALL_SIDES = 3  # turns after which all four sides have been seen
_TWICE_AROUND = 7  # turns after which it is better to walk anywhere than to wait for a door to come into view
_WALK = 3  # steps forward between two looks around
_FAR = 3  # an object nearer than this is no new place to look from


class Why(StrEnum):
    """What a move is for; decides the words of the thought."""

    REACH = "reach"
    LOOK = "look"
    WALK = "walk"
    DOOR = "door"
    VISIT = "visit"
    HANDS = "hands"
    ASIDE = "aside"


@dataclass(frozen=True, slots=True)
class Move:
    """An action, what it is for, and the thing it concerns."""

    action: str
    why: Why
    thing: Thing | None = None


def current_task(situation: Situation) -> Task | None:
    """The first clause of the goal that no past action has met; the last one once all have been tried."""
    tasks = list(situation.tasks)
    for action in situation.past:
        if len(tasks) > 1 and _meets(tasks[0], action):
            tasks.pop(0)
    return tasks[0] if tasks else None


def best_move(situation: Situation) -> Move:
    """What the policy does next."""
    task = current_task(situation)
    if task is None:
        return _search(situation, Target("", "object"))
    if task.verb == "put":
        return _put(situation, task)
    return _fetch(situation, task.verb, task.target)


def wasteful_moves(situation: Situation, best: Move) -> list[Move]:
    """Moves that are possible and harmless but bring the goal no nearer, other than the best one."""
    moves = [Move(action, Why.ASIDE) for action in TURNS]
    moves += [
        Move(f"go to {thing.ref}", Why.VISIT, thing)
        for thing in situation.view.things
        if thing != best.thing and thing.distance > 1
    ]
    if _can_walk(situation.view):
        moves.append(Move("move forward", Why.ASIDE))
    return [move for move in moves if move.action != best.action and move.action in situation.actions]


def _meets(task: Task, action: str) -> bool:
    verbs = {"go to": ("go to ",), "pick up": ("pickup ",), "open": ("toggle",), "put": ("drop",)}[task.verb]
    name = action.rstrip("0123456789 ").removeprefix("toggle and go through ").removeprefix(verbs[0])
    return action.startswith(verbs) and (action in ("drop", "toggle") or task.target.fits(name))


def _fetch(situation: Situation, verb: str, target: Target) -> Move:
    """Go to, pick up or open the target if it is in view and in reach, else look for it."""
    view = situation.view
    if view.carrying and (verb == "pick up" or target.fits(view.carrying)):
        return _empty_hands(situation)
    for thing in _candidates(situation, target):
        if verb == "go to" and thing.distance == 1 and thing.ahead == 1:
            continue  # standing before it already: `go to` has no move to make
        for action in _means(verb, thing):
            if action in situation.actions and action not in situation.futile:
                return Move(action, Why.REACH, thing)
        if thing.name.split()[1] == "locked" and not view.carrying:
            return _fetch(situation, "pick up", Target(thing.name.split()[0], "key"))
    return _search(situation, target)


def _means(verb: str, thing: Thing) -> tuple[str, ...]:
    if verb == "open":
        return (f"toggle and go through {thing.ref}",)
    return (f"{'pickup' if verb == 'pick up' else verb} {thing.ref}",)


def _candidates(situation: Situation, target: Target) -> Iterator[Thing]:
    """Things that fit, nearest first; those at the place the goal names come before the rest."""
    fitting = [thing for thing in situation.view.things if target.fits(thing.name)]
    turned = _turned(situation.past)
    if not target.place or turned is None:
        yield from fitting
        return
    yield from (thing for thing in fitting if _side(thing, turned)[target.place])
    if len(situation.past) > _ALL_SIDES:  # every side has been seen; the place was misread
        yield from fitting


def _turned(past: Sequence[str]) -> int | None:
    """Quarter turns to the right since the start; None once the agent has moved."""
    total = 0
    for action in past:
        if action == "turn right":
            total += 1
        elif action == "turn left":
            total -= 1
        elif not action.startswith("check"):
            return None
    return total % 4


def _side(thing: Thing, turned: int) -> dict[str, bool]:
    """On which sides of the agent's first pose a thing lies; the goal's places are meant from there."""
    ahead, right = thing.ahead, thing.right
    for _ in range(turned):
        ahead, right = -right, ahead
    return {"front": ahead > 0, "behind": ahead < 0, "right": right > 0, "left": right < 0}


def _put(situation: Situation, task: Task) -> Move:
    """Carry the target to a cell beside its neighbour; drops one step ahead, so stop two steps away from it."""
    view = situation.view
    assert task.beside is not None
    if not view.carrying:
        return _fetch(situation, "pick up", task.target)
    if not task.target.fits(view.carrying):
        return _empty_hands(situation)
    neighbour = next((thing for thing in view.things if task.beside.fits(thing.name)), None)
    if neighbour is None:
        if situation.past[-2:] and situation.past[-1] == "move forward" and situation.past[-2] in TURNS:
            back = TURNS[situation.past[-2] == "turn left"]  # just walked past it: turn back towards it
            return Move(back, Why.LOOK)
        return _search(situation, task.beside)
    ahead, right = neighbour.ahead, neighbour.right
    towards = TURNS[right > 0]
    if abs(ahead - 1) + abs(right) == 1 and "drop" in situation.actions:
        action = "drop"
    elif ahead == 1 and right == 0:
        action = "turn left"
    elif ahead > 1 or (ahead == 0 and abs(right) == 1):
        action = "move forward"
    else:
        action = towards
    if action not in situation.actions or action in situation.futile:
        action = f"go to {neighbour.ref}"
    return Move(action, Why.REACH, neighbour) if action in situation.actions else _search(situation, task.beside)


def _empty_hands(situation: Situation) -> Move:
    if "drop" in situation.actions and "drop" not in situation.futile:
        return Move("drop", Why.HANDS)
    return Move("turn right", Why.HANDS)


def _search(situation: Situation, target: Target) -> Move:
    """Where to look when the target is out of view or out of reach."""
    past, view = situation.past, situation.view
    walked = _trailing(past, ("move forward",))
    turned = _trailing(past, TURNS)
    before_walk = past[len(past) - walked - 1] if len(past) > walked else ""
    can_walk = _can_walk(view) and "move forward" in situation.actions and "move forward" not in situation.futile
    just_entered = "go through" in before_walk
    if can_walk and not turned and ((just_entered and walked < 1) or (0 < walked < _WALK and not just_entered)):
        return Move("move forward", Why.WALK)
    if turned < _ALL_SIDES:
        return Move(_turn_for(past, target), Why.LOOK)
    for door in _doors(situation):
        return door
    far = [thing for thing in view.things if thing.distance >= _FAR and f"go to {thing.ref}" in situation.actions]
    far = [thing for thing in far if f"go to {thing.ref}" not in past]
    if far:
        thing = max(far, key=lambda thing: thing.distance)
        return Move(f"go to {thing.ref}", Why.VISIT, thing)
    if can_walk and (view.facing is None or view.facing > 2 or turned >= _TWICE_AROUND):
        return Move("move forward", Why.WALK)
    if turned >= _TWICE_AROUND:
        for thing in view.things:
            if f"go to {thing.ref}" in situation.actions:
                return Move(f"go to {thing.ref}", Why.VISIT, thing)
    return Move(_turn_for(past, target), Why.LOOK)


def _doors(situation: Situation) -> Iterator[Move]:
    """Ways into another room, the door last used left out: closed doors first, they hide what was not seen."""
    used = next((action for action in reversed(situation.past) if "go through" in action), "")
    for state, verb in (
        ("closed", "toggle and go through"),
        ("open", "go through"),
        ("locked", "toggle and go through"),
    ):
        for thing in situation.view.things:
            color, *rest = thing.name.split()
            action = f"{verb} {thing.ref}"
            if rest == [state, "door"] and action in situation.actions and f" {color} " not in used:
                yield Move(action, Why.DOOR, thing)


def _turn_for(past: Sequence[str], target: Target) -> str:
    """Go on turning the way one turned last; at first towards the side the goal names, else right."""
    if past and past[-1] in TURNS:
        return past[-1]
    return "turn left" if target.place == "left" and not past else "turn right"


def _can_walk(view: View) -> bool:
    return (view.facing is None or view.facing > 1) and not any(t.ahead == 1 and t.right == 0 for t in view.things)


def _trailing(past: Sequence[str], kinds: Sequence[str]) -> int:
    """How many of the latest actions are of these kinds, without interruption."""
    count = 0
    for action in reversed(past):
        if action not in kinds:
            break
        count += 1
    return count
