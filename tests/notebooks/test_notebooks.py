"""The notebooks run from a clean kernel on the shipped data, say what the data say, and are shipped with outputs."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import re
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FIGURES = {"anatomy_of_the_bonus": 9, "pareto_analysis": 7}
DIRECTIONS = {"success_rate": 1, "tokens_all": -1, "steps_all": -1}
MAX_BYTES = 600 * 1024
PRIVATE = re.compile(r"(?<![\w.)])/(?:tmp|home|root|work|Users|usr|opt|private|var)/")


def load(name: str) -> ModuleType:
    """A script of the folder as a module."""
    spec = importlib.util.spec_from_file_location(f"notebooks_{name}", NOTEBOOKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(notebook: NotebookNode) -> str:
    """All Markdown that the cells have put out."""
    return "\n".join(out.data["text/markdown"] for out in outputs(notebook) if "text/markdown" in out.get("data", {}))


def outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def figures(notebook: NotebookNode) -> int:
    return sum("image/png" in out.get("data", {}) for out in outputs(notebook))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the notebooks and their data, without outputs."""
    monkeypatch.delenv("DEPO_SWEEP", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    copy = tmp_path / "notebooks"
    shutil.copytree(NOTEBOOKS, copy, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for path in copy.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, path)
    return copy


def run(folder: Path, name: str) -> NotebookNode:
    return load("execute").execute(folder / f"{name}.ipynb")


@cache
def measured_trials() -> dict[int, tuple[bool, dict[str, float]]]:
    """Feasibility and objectives of every trial, straight from the files: the mean over its jobs."""
    found: dict[int, tuple[bool, dict[str, float]]] = {}
    jobs: dict[int, list[dict[str, float]]] = {}
    for path in sorted((NOTEBOOKS / "data" / "pareto").glob("*/results.json")):
        trial = json.loads((path.parent / "trial.json").read_text(encoding="utf-8"))
        metrics = json.loads(path.read_text(encoding="utf-8"))["policies"]["depo"]["metrics"]
        jobs.setdefault(trial["trial"], []).append({name: metrics[name]["mean"] for name in DIRECTIONS})
        feasible = trial["state"] == "complete" and all(value <= 0 for value in trial["constraints"].values())
        own = jobs[trial["trial"]]
        found[trial["trial"]] = (feasible, {name: math.fsum(j[name] for j in own) / len(own) for name in DIRECTIONS})
    return found


def non_dominated(points: dict[int, Sequence[float]]) -> set[int]:
    """By definition; larger is better."""

    def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
        return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))

    return {i for i, p in points.items() if not any(dominates(q, p) for q in points.values())}


def check_pareto_analysis(notebook: NotebookNode) -> None:
    """The starred trials are the front of the data, and the best value is the data's."""
    text = texts(notebook)
    shown = {int(number) for number in re.findall(r"^\| (\d+) \\\* \|", text, re.MULTILINE)}
    feasible = {t: values for t, (ok, values) in measured_trials().items() if ok}
    assert shown == non_dominated({t: [s * v[n] for n, s in DIRECTIONS.items()] for t, v in feasible.items()})
    assert f"**{len(measured_trials())} configurations**" in text
    best = max(values["success_rate"] for values in feasible.values())
    assert f"| success rate | {best:.4g} (trial" in text


def check_anatomy_of_the_bonus(notebook: NotebookNode) -> None:
    """Bonus and weights are what the equations give for each trajectory of the data."""
    text = texts(notebook)
    before, after, bonuses = first_weights(alpha=3.0, beta=0.2)
    assert f"b is {math.fsum(bonuses) / len(bonuses):.2f} nats in the mean" in text
    total, new = math.fsum(before), math.fsum(after)
    moved = math.fsum(abs(p / total - q / new) for p, q in zip(before, after, strict=True)) / 2
    assert f"In all, {moved:.1%} of the total weight" in text
    runs = len({row["job"] for row in table("curves.csv")})
    assert f"{runs} runs: the logged mean weight of D and the logged leverage are met" in text


CHECKS = {"anatomy_of_the_bonus": check_anatomy_of_the_bonus, "pareto_analysis": check_pareto_analysis}


@pytest.mark.parametrize(
    "name", ["anatomy_of_the_bonus", pytest.param("pareto_analysis", marks=pytest.mark.slow)]
)  # what is shipped of both is checked below
def test_the_notebook_runs_and_says_what_the_data_say(folder: Path, name: str) -> None:
    notebook = run(folder, name)
    assert figures(notebook) == FIGURES[name]
    assert not [out for out in outputs(notebook) if out.output_type in ("error", "stream")]
    CHECKS[name](notebook)


def test_pareto_analysis_reads_the_sweep_that_it_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trials without a choice, out of the shipped ones: no importances, no slopes, and that is said."""
    sweep = folder / "small"
    shutil.copytree(folder / "data" / "pareto", sweep, ignore=lambda d, names: [n for n in names if _beyond(n, 6)])
    for path in sweep.glob("*/.hydra/overrides.yaml"):
        lines = [line for line in path.read_text().splitlines() if "thresholds" not in line]
        path.write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("DEPO_SWEEP", str(sweep))
    text = texts(run(folder, "pareto_analysis"))
    assert "**3 configurations** in 6 jobs" in text
    assert "No importances: 3 measured configurations; it takes 10" in text
    assert "too few, or too alike" in text
    assert "too few to tell" in text


def _beyond(name: str, count: int) -> bool:
    return name.isdigit() and int(name) >= count


def first_weights(alpha: float, beta: float) -> tuple[list[float], list[float], list[float]]:
    """Weights of every turn at log-ratio 0, KTO's and DEPO's, and the bonus of every desirable trajectory."""
    before, after, bonuses = [], [], []
    for row in table("preferences.csv"):
        if row["labels"] == "babyai":
            tokens = [int(count) for count in row["tokens"].split()]
            bonus = alpha * len(tokens) / sum(tokens) + alpha / len(tokens) if row["label"] == "desirable" else 0.0
            bonuses += [bonus] if row["label"] == "desirable" else []
            sigmoid = 1 / (1 + math.exp(-beta * bonus))
            before += [beta / 4] * len(tokens)
            after += [beta * sigmoid * (1 - sigmoid)] * len(tokens)
    return before, after, bonuses


def table(name: str) -> list[dict[str, str]]:
    with (NOTEBOOKS / "data" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", CHECKS)
def test_the_shipped_notebook_has_clean_outputs_of_the_shipped_data(name: str) -> None:
    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < MAX_BYTES
    assert figures(notebook) == FIGURES[name]
    assert {out.output_type for out in outputs(notebook)} == {"display_data"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(not cell.metadata for cell in notebook.cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert not PRIVATE.search(path.read_text(encoding="utf-8"))
    CHECKS[name](notebook)


def test_the_shipped_data_are_small_and_tell_nothing_of_a_machine() -> None:
    files = [path for path in (NOTEBOOKS / "data").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    load("make_data").check_private(NOTEBOOKS / "data")


def test_a_path_in_the_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fine.csv").write_text("a/b,1/2,2026/11,https://arxiv.org/abs/1\n")
    make_data = load("make_data")
    make_data.check_private(tmp_path)
    (tmp_path / "trial.json").write_text('{"reason": "No such file: /home/someone/store/x.json"}')
    with pytest.raises(make_data.DataError, match=r"trial\.json: holds '/home/someone/store/'"):
        make_data.check_private(tmp_path)


def test_a_reduced_sweep_reduces_to_itself(tmp_path: Path) -> None:
    """What the report reads is kept, so the shipped sweep is a sweep like any other."""
    make_data, shipped = load("make_data"), NOTEBOOKS / "data" / "pareto"
    jobs = make_data.ended(make_data.collect_points(shipped))
    make_data.reduce_sweep(shipped, jobs, tmp_path / "again")

    def contents(root: Path) -> dict[str, str]:
        return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}

    assert contents(tmp_path / "again") == contents(shipped)


def test_running_trials_are_left_out(tmp_path: Path) -> None:
    make_data = load("make_data")
    sweep = tmp_path / "sweep"
    shutil.copytree(NOTEBOOKS / "data" / "pareto", sweep, ignore=lambda d, names: [n for n in names if _beyond(n, 6)])
    (sweep / "2" / "trial.json").unlink()
    (sweep / "3" / "trial.json").unlink()
    for job in (4, 5):
        trial = json.loads((sweep / str(job) / "trial.json").read_text())
        (sweep / str(job) / "trial.json").write_text(json.dumps({**trial, "state": "running"}))
    assert [job.job for job in make_data.ended(make_data.collect_points(sweep))] == [0, 1]
