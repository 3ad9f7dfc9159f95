"""A grid of 16 points of α1 and α2 in one command, against 16 separate commands and against one run's own work.

The stages that the points share are stored beforehand, and each measured command starts from a copy of that store.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import commands
from bench.alternate import alternate
from bench.settings import Settings
from bench.table import Row, number

ALPHAS = (0, 1, 2, 3)
ONE = (3, 3)  # the point whose work, where no other has run, is the yardstick
TARGET = 1 / 4  # issue: the grid at most four times one run's preference training and evaluation
QUICK = ["depo.epochs=1", "rollout.test_tasks=24", "rollout.validation_tasks=8"]
SMALL = ["search.tasks=80", "bc.epochs=1", "thresholds.max_desirable=30", "thresholds.max_undesirable=10"]
OWN = ("depo", "evaluate")  # stages that a point has of its own: a finished store may hold those of the yardstick
SHARED = "stages=[collect,label,rephrase,bc,reference,evaluate]"


def measure(settings: Settings) -> list[Row]:
    """Grid, separate runs and one run, each from the same store."""
    budget = QUICK if settings.quick else []
    if settings.quick and settings.store is None:
        budget = [*QUICK, *SMALL]
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) / "shared"
        if settings.store is not None:
            copy(settings.store, shared, without=OWN)
        commands.run(settings, shared, [*budget, "policies=[bc]", SHARED])
        return _compare(settings, Path(folder), shared, [*budget, "policies=[bc,depo]"])


def _compare(settings: Settings, folder: Path, shared: Path, budget: list[str]) -> list[Row]:
    alphas = ",".join(map(str, ALPHAS))
    grids: list[commands.Finished] = []
    separate: list[commands.Finished] = []
    one: list[float] = []

    def run_grid() -> float:
        store = copy(shared, folder / "grid")
        grids.append(commands.run(settings, store, [*budget, f"alpha1={alphas}", f"alpha2={alphas}"], sweep=True))
        shutil.rmtree(store)
        return grids[-1].seconds

    def run_separately() -> float:
        store, total = copy(shared, folder / "separate"), 0.0
        for alpha1, alpha2 in [(first, second) for first in ALPHAS for second in ALPHAS]:
            separate.append(commands.run(settings, store, [*budget, f"alpha1={alpha1}", f"alpha2={alpha2}"]))
            total += separate[-1].seconds
        shutil.rmtree(store)
        run_one()
        return total

    def run_one() -> None:
        """On its own: a store that holds other points saves a run some of its work."""
        store = copy(shared, folder / "one")
        before = len(commands.account(store))
        commands.run(settings, store, [*budget, f"alpha1={ONE[0]}", f"alpha2={ONE[1]}"])
        one.append(sum(seconds for _, _, seconds in commands.computed(store, before)))
        shutil.rmtree(store)

    ours, peer = alternate(run_grid, run_separately, settings.repetitions)
    memory = {"ours_mib": max(run.mib for run in grids), "peer_mib": max(run.mib for run in separate)}
    points = len(ALPHAS) ** 2
    what, note = f"{points} points, shared stages stored", "MiB: largest process, everything included"
    cpu = [sum(run.cpu_seconds for run in runs) for runs in (separate, grids)]
    note = f"{number(cpu[0] / cpu[1])}× by CPU time; {note}"
    return [
        Row("grid", what, "s", ours, peer, f"{points} commands", higher_is_better=False, note=note, **memory),
        Row(
            "grid",
            f"{what}: the whole command",
            "s",
            ours,
            one,
            "DEPO + evaluation of one",
            higher_is_better=False,
            target=TARGET,
        ),
    ]


def copy(store: Path, target: Path, without: Sequence[str] = ()) -> Path:
    """A store with the same artifacts, as hard links where the disk allows; artifacts are never changed in place.

    Args:
        store: to copy.
        target: the copy.
        without: stages whose artifacts are left out.
    """
    for path in sorted(store.rglob("*")):
        inside = path.relative_to(store)
        place = target / inside
        if path.is_dir() or ".locks" in inside.parts or inside.parts[0] in without:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.parent == store or not _linked(path, place):  # the account is appended to
            shutil.copyfile(path, place)
    return target


def _linked(path: Path, place: Path) -> bool:
    try:
        os.link(path, place)
    except OSError:  # another disk
        return False
    return True
