"""What one more episode costs each stage, and its memory, at 1×, 4× and 16× episodes of the tiny model.

Every stage is a command of its own (label and rephrase are one), and each size has its own stores. A command has a
fixed cost (imports, loading), so growth is judged by the marginal cost: seconds per further episode from 4× to 16×
against those from 1× to 4×. Equal means linear. Seconds are CPU time of all processes; on a GPU, the stages' own
wall-clock time.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench import commands
from bench.settings import Settings
from bench.table import Row

SCALES = (1, 4, 16)
MANY = 16  # times as many search trees for the stages that take about a millisecond an episode
# Labels within trees, uncapped: their number grows with the trees. One epoch each, and no validation: a policy that had
# few episodes to learn from plays long ones, which would count as a fixed cost of the small sizes.
BUDGET = [
    *("thresholds=relative", "thresholds.max_desirable=null", "thresholds.max_undesirable=null", "policies=[bc,kto]"),
    *("bc.max_trajectories=null", "bc.epochs=1", "depo.epochs=1", "seed=0"),
    "depo.validate_every=1_000_000",
]
DATA = {"collect": "collect", "label": "label,rephrase"}
TRAINING = {"bc": "bc", "reference": "reference", "KTO": "depo"}


@dataclass(frozen=True)
class Point:
    """A stage at one size."""

    episodes: int
    seconds: float
    mib: float


def measure(settings: Settings) -> list[Row]:
    """One row a stage; each repetition starts from empty stores."""
    base = 12 if settings.quick else 60  # search trees, and evaluation episodes
    points: dict[str, list[list[Point]]] = defaultdict(list)
    for repetition in range(settings.repetitions):
        with tempfile.TemporaryDirectory() as folder:
            for name, found in _repetition(settings, Path(folder), base, backwards=repetition % 2 == 1).items():
                points[name].append(found)
    return [row(name, repetitions) for name, repetitions in points.items()]


def row(name: str, repetitions: list[list[Point]]) -> Row:
    """The marginal costs of a stage, and its memory at 16× and 4×."""
    sizes = ", ".join(str(point.episodes) for point in repetitions[0])
    seconds = ", ".join(f"{point.seconds:.1f}" for point in repetitions[0])
    mib = [max(points[index].mib for points in repetitions) for index in range(len(SCALES))]
    return Row(
        "scaling",
        f"{name}: {sizes} episodes",
        "s/episode",
        [marginal(*points[1:]) for points in repetitions],
        [marginal(*points[:2]) for points in repetitions],
        "1× to 4×",
        higher_is_better=False,
        ours_mib=mib[2],
        peer_mib=mib[1],
        target=1.0,
        note=f"4× to 16× against 1× to 4×; whole: {seconds} s; MiB at 16× and 4×, whole process; {mib[0]:.0f} at 1×",
    )


def marginal(small: Point, large: Point) -> float:
    """Seconds per further episode."""
    return (large.seconds - small.seconds) / (large.episodes - small.episodes)


def _repetition(settings: Settings, folder: Path, base: int, backwards: bool) -> dict[str, list[Point]]:
    points: dict[str, dict[int, Point]] = defaultdict(dict)
    for scale in reversed(SCALES) if backwards else SCALES:
        many, store = folder / f"data-{scale}", folder / f"store-{scale}"
        for name, stages in DATA.items():
            overrides = [*BUDGET, f"search.tasks={MANY * base * scale}", f"stages=[{stages}]"]
            seconds, mib = _stage(settings, many, overrides)
            points[name][scale] = Point(_lines(many, "collect"), seconds, mib)
        commands.run(settings, store, [*BUDGET, f"search.tasks={base * scale}", "stages=[collect,label,rephrase]"])
        for name, stages in TRAINING.items():
            overrides = [*BUDGET, f"search.tasks={base * scale}", f"stages=[{stages}]"]
            seconds, mib = _stage(settings, store, overrides)
            points[name][scale] = Point(_lines(store, "collect" if name == "bc" else "rephrase"), seconds, mib)
    largest = SCALES[-1]
    for scale in SCALES:  # one policy for all sizes, so that episodes are alike
        tasks = base * scale
        overrides = [*BUDGET, "policies=[bc]", f"search.tasks={base * largest}", f"rollout.test_tasks={tasks}"]
        seconds, mib = _stage(settings, folder / f"store-{largest}", [*overrides, "stages=[evaluate]"])
        points["evaluate"][scale] = Point(tasks, seconds, mib)
    return {name: [found[scale] for scale in SCALES] for name, found in points.items()}


def _stage(settings: Settings, store: Path, overrides: list[str]) -> tuple[float, float]:
    """Seconds and peak memory of a command: CPU time, which other work disturbs little, or on a GPU the stages' own."""
    before = len(commands.account(store))
    finished = commands.run(settings, store, overrides)
    stages = commands.computed(store, before)
    assert stages, f"nothing was computed by {overrides}"
    on_gpu = settings.device == "cuda"
    return sum(seconds for _, _, seconds in stages) if on_gpu else finished.cpu_seconds, finished.mib


def _lines(store: Path, stage: str) -> int:
    (path,) = (store / stage).glob("*/trajectories.jsonl")
    return len(path.read_text().splitlines())
