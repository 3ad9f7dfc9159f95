"""The whole grid of an episode as plain values, for who draws it; the agent itself sees less."""

from __future__ import annotations

from typing import Any

from depo_lightning.envs.babyai.env import BabyAIEnv
from depo_lightning.envs.babyai.view import MIDDLE, SIZE, describe

_AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))  # by direction: right, down, left, up


def picture(env: BabyAIEnv) -> dict[str, Any]:
    """The state of the running episode, ready for JSON.

    Returns:
        `size` [width, height]; `agent` [x, y, direction 0 to 3: right, down, left, up]; `carrying` the name of what it
        carries, or ""; `walls` one character per cell, row by row, "1" where a wall is; `things` [[x, y, name]];
        `seen` [[x, y]] of the cells in the agent's view.
    """
    level: Any = env._level
    width, height = level.grid.width, level.grid.height
    x, y, compass = int(level.agent_pos[0]), int(level.agent_pos[1]), int(level.agent_dir)
    cells = [(place % width, place // width, cell) for place, cell in enumerate(level.grid.grid)]
    fx, fy = _AHEAD[compass]
    seen = []
    for place, name in enumerate(env._view):
        if name is not None:
            ahead, aside = SIZE - 1 - place // SIZE, place % SIZE - MIDDLE
            u, v = x + fx * ahead - fy * aside, y + fy * ahead + fx * aside
            if 0 <= u < width and 0 <= v < height:
                seen.append([u, v])
    return {
        "size": [width, height],
        "agent": [x, y, compass],
        "carrying": describe(level.carrying),
        "walls": "".join("1" if cell is not None and cell.type == "wall" else "0" for _, _, cell in cells),
        "things": [[u, v, describe(cell)] for u, v, cell in cells if cell is not None and cell.type != "wall"],
        "seen": seen,
    }
