"""The 40 levels: their numbers, their names, and how an episode of one is built.

The reference plays on minigrid before 2.5, which differs from today's in two places that decide episodes:

* `GoToObjS6` had rooms of 4 cells (today's `-v1` has 6; `-v0` is gone);
* the level generator kept the locked room of an earlier attempt, and the reference generates every episode twice with
  the same seed, so a room left from the first pass may rule out objects in the second.

Both are reproduced here, so that a task index means the same episode as in the reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from copy import copy
from difflib import get_close_matches
from functools import cache
from typing import Any

import gymnasium
import minigrid  # noqa: F401  (registers the levels)
from gymnasium.envs.registration import load_env_creator

from depo_lightning.envs.babyai.lean import TextLevel
from depo_lightning.envs.babyai.view import View
from depo_lightning.errors import ConfigError

NAMES = (
    "GoToRedBallGrey",
    "GoToRedBall",
    "GoToRedBallNoDists",
    "GoToObjS6",
    "GoToLocalS8N7",
    "GoToObjMazeS7",
    "GoToImpUnlock",
    "GoToSeqS5R2",
    "GoToRedBlueBall",
    "GoToDoor",
    "GoToObjDoor",
    "Open",
    "OpenRedDoor",
    "OpenDoorLoc",
    "OpenRedBlueDoorsDebug",
    "OpenDoorsOrderN4Debug",
    "Pickup",
    "UnblockPickup",
    "PickupLoc",
    "PickupDistDebug",
    "PickupAbove",
    "PutNextLocalS6N4",
    "PutNextS7N4Carrying",
    "Unlock",
    "UnlockLocalDist",
    "KeyInBox",
    "UnlockPickupDist",
    "BlockedUnlockPickup",
    "UnlockToUnlock",
    "ActionObjDoor",
    "FindObjS7",
    "KeyCorridorS6R3",
    "OneRoomS20",
    "MoveTwoAcrossS8N9",
    "SynthS5R2",
    "SynthLoc",
    "SynthSeq",
    "MiniBossLevel",
    "BossLevel",
    "BossLevelNoUnlock",
)
COUNT = len(NAMES)

_INDEX = {name.lower(): index for index, name in enumerate(NAMES)}
_OTHER_ID = {"GoToObjS6": "BabyAI-GoToObjS6-v1"}
_OTHER_KWARGS = {"GoToObjS6": {"room_size": 4}}


def build(index: int, seed: int) -> tuple[Any, View]:
    """Level `index` (from 0) with the episode of `seed`, and what the agent sees first."""
    level = copy(_unused(index))
    view, _ = level.reset(seed=seed)
    if level.locked_room is not None and not level.implicit_unlock:
        view, _ = level.reset(seed=seed)
    return level, view


def parse(levels: str | Iterable[str | int] | None) -> tuple[int, ...]:
    """Indices (from 0) of the levels a user names.

    Args:
        levels: None or "all", or names such as "GoToRedBall" or "BabyAI-GoToRedBall-v0", or numbers 1 to 40.

    Raises:
        ConfigError: no level at all, or unknown ones, each with its nearest matches.
    """
    if levels is None or levels == "all":
        return tuple(range(COUNT))
    wanted = [levels] if isinstance(levels, (str, int)) else list(levels)
    found = [_find(level) for level in wanted]
    faults = [
        f"env.levels: {level!r} is not a level; {_suggest(level)}"
        for level, index in zip(wanted, found, strict=True)
        if index is None
    ]
    faults += [
        f"env.levels names {NAMES[index]} {count} times; name it once, or its tasks come twice"
        for index, count in Counter(found).items()
        if index is not None and count > 1
    ]
    if not wanted:
        faults = ["env.levels is empty; name at least one level, or 'all'"]
    if faults:
        raise ConfigError(faults)
    return tuple(index for index in found if index is not None)


def _find(level: str | int) -> int | None:
    text = str(level).strip()
    if text.isdecimal():
        return int(text) - 1 if 1 <= int(text) <= COUNT else None
    return _INDEX.get(_bare(text))


def _bare(text: str) -> str:
    return text.lower().removeprefix("babyai-").removesuffix("-v0")


def _suggest(level: str | int) -> str:
    near = get_close_matches(_bare(str(level)), _INDEX, n=3, cutoff=0.5)
    names = ", ".join(NAMES[_INDEX[name]] for name in near)
    return f"did you mean {names}?" if near else f"levels are numbered 1 to {COUNT} and named {NAMES[0]} … {NAMES[-1]}"


@cache
def _blueprint(index: int) -> tuple[type, dict[str, Any]]:
    name = NAMES[index]
    spec = gymnasium.spec(_OTHER_ID.get(name, f"BabyAI-{name}-v0"))
    assert isinstance(spec.entry_point, str)
    base: Any = load_env_creator(spec.entry_point)
    return type(base.__name__, (TextLevel, base), {}), {**spec.kwargs, **_OTHER_KWARGS.get(name, {})}


@cache
def _unused(index: int) -> Any:
    """The level before its first reset, which makes everything that an episode changes."""
    kind, kwargs = _blueprint(index)
    return kind(**kwargs)
