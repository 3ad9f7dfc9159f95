"""What the environment does in minigrid's or the reference's place, against minigrid's own code and the reference's."""

import importlib.util
import random
from contextlib import contextmanager
from itertools import product

import minigrid.envs.babyai.core.verifier as verifier
import numpy as np
import pytest
from minigrid.core import roomgrid
from minigrid.core.grid import Grid
from minigrid.core.world_object import WorldObj
from minigrid.minigrid_env import MiniGridEnv

from depo_lightning.envs.babyai import levels
from depo_lightning.envs.babyai.levels import NAMES
from depo_lightning.envs.babyai.navigate import FORWARD, LEFT, RIGHT, Paths
from depo_lightning.envs.babyai.view import HERE, look

AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))


def find_path(goal, blocked, compass, arrive):
    """The reference's `find_path` in the agent's own coordinates: a queue with an entry for every way to a pose."""
    rows = range(-1 if compass in (0, 1) else 0, 7)
    columns = range(-3, 5 if compass in (1, 2) else 4)
    start = ((0, 0), 0)
    graph, queue, state = {}, [start], set()
    while queue:
        place, turn = queue.pop(0)
        state.add((place, turn))
        target = place if arrive else (place[0] + AHEAD[turn][0], place[1] + AHEAD[turn][1])
        if target == goal:
            path, pose = [], (place, turn)
            while pose != start:
                pose, action = graph[pose]
                path.append(action)
            return tuple(path[::-1])
        for action in (FORWARD, LEFT, RIGHT):
            ahead = (place[0] + AHEAD[turn][0], place[1] + AHEAD[turn][1]) if action == FORWARD else place
            pose = ahead, (turn + {FORWARD: 0, LEFT: -1, RIGHT: 1}[action]) % 4
            if ahead[0] in rows and ahead[1] in columns and pose not in state and ahead not in blocked:
                queue.append(pose)
                graph[pose] = (place, turn), action
    return None


@pytest.mark.parametrize("compass", range(4))
def test_paths_are_those_of_the_reference(compass):
    rng = random.Random(compass)
    cells = [(ahead, aside) for ahead in range(7) for aside in range(-3, 4) if (ahead, aside) != (0, 0)]
    found = 0
    for share in (0.1, 0.3, 0.3, 0.5, 0.5, 0.7):
        blocked = {cell for cell in cells if rng.random() < share}
        paths = Paths(blocked, compass)
        for goal in rng.sample(cells, 20):
            assert paths.facing(*goal) == find_path(goal, blocked, compass, arrive=False)
            assert paths.onto(*goal) == find_path(goal, blocked, compass, arrive=True)
            found += paths.facing(*goal) is not None
    assert found > 30


class MinigridsOwn:
    """Mixin that takes the place of `TextLevel` and changes nothing but what the old generator did differently."""

    locked_room = levels.TextLevel.locked_room
    _locked_room = None


@pytest.fixture(scope="module")
def own():
    """A second copy of minigrid's verifier, in which nothing is replaced."""
    spec = importlib.util.find_spec("minigrid.envs.babyai.core.verifier")
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


@pytest.fixture
def unchanged(own, monkeypatch):
    """A context in which minigrid is its own self."""

    @contextmanager
    def context():
        with monkeypatch.context() as patch:
            patch.setattr(roomgrid, "Grid", Grid)
            patch.setattr(verifier.ObjDesc, "find_matching_objs", own.ObjDesc.find_matching_objs)
            patch.setattr(verifier.GoToInstr, "verify_action", own.GoToInstr.verify_action)
            yield

    return context


def build_unchanged(index, seed):
    kind, kwargs = levels._blueprint(index)
    level = type("Own", (MinigridsOwn, kind.__mro__[2]), {})(**kwargs)
    seen, _ = level.reset(seed=seed)
    if level.locked_room is not None and not level.implicit_unlock:
        seen, _ = level.reset(seed=seed)
    return level, seen["image"]


def dump(value):
    """Everything a level holds that an episode is made of, in comparable form."""
    if isinstance(value, MiniGridEnv):
        names = ("agent_pos", "agent_dir", "carrying", "step_count", "max_steps", "mission", "instrs")
        return [dump(getattr(value, name)) for name in names] + [dump(value.grid.grid)]
    if isinstance(value, (WorldObj, verifier.Instr, verifier.ObjDesc)):
        return type(value).__name__, {key: dump(item) for key, item in vars(value).items() if key != "env"}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [dump(item) for item in value]
    return value


def check_episode(unchanged, index, seed, moves):
    """Build one episode both ways, make the same random moves in both, and compare all there is after each."""
    ours, view = levels.build(index, seed)
    with unchanged():
        own, image = build_unchanged(index, seed)
    assert ours.np_random.bit_generator.state == own.np_random.bit_generator.state
    assert dump(ours) == dump(own)
    rng = random.Random(seed)
    for _ in range(moves):
        move = rng.choice((0, 1, 2, 2, 2, 3, 4, 5))
        seen, *verdict = ours.step(move)
        with unchanged():
            shown, *own_verdict = own.step(move)
        assert verdict == own_verdict
        assert dump(ours) == dump(own)
        assert seen == look(own)
        assert (seen == view) == np.array_equal(shown["image"], image)
        hidden = [name is None for name in seen]
        assert hidden == (shown["image"][:, :, 0].T == 0).ravel().tolist()
        assert seen[HERE] is not None
        view, image = seen, shown["image"]


@pytest.mark.parametrize("index", range(40), ids=NAMES)
def test_levels_are_minigrids_own(index, unchanged):
    for seed in (3, 14):
        check_episode(unchanged, index, seed, moves=25)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(40), ids=NAMES)
def test_many_levels_are_minigrids_own(index, unchanged):
    for seed in range(100, 160):
        check_episode(unchanged, index, seed, moves=60)


def test_descriptions_match_the_same_things(own):
    """Every description there is, also of grey objects, which walls meet."""
    for index in (8, 20, 37, 39):
        level, _ = levels.build(index, 5)
        for words in product((None, *own.OBJ_TYPES), (None, *own.COLOR_NAMES), (None, *own.LOC_NAMES)):
            ours, theirs = verifier.ObjDesc(*words), own.ObjDesc(*words)
            assert ours.find_matching_objs(level) == theirs.find_matching_objs(level)
            ours.obj_set, theirs.obj_set = ours.obj_set[::2], theirs.obj_set[::2]
            assert ours.find_matching_objs(level, False) == theirs.find_matching_objs(level, False)
