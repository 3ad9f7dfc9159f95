"""Build the notebooks' data from a sweep and its store: `python notebooks/make_data.py SWEEP STORE`.

Writes under `notebooks/data/`, see `notebooks/README.md`:

* `pareto/`: the sweep, reduced to what its report needs;
* `preferences.csv`: the labelled trajectories that its policies were trained on, a line per trajectory;
* `curves.csv`: log-ratios, z0 and gradient weights over the training of every job, a line per step;
* `logratios.csv`: the log-ratio of every agent turn at the end of training, for one trial per set of labels.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from depo_lightning.cli import guarded
from depo_lightning.curves import read_curves
from depo_lightning.errors import DataError
from depo_lightning.sweeps.points import PointStatus, SweepPoint, collect_points, varied_keys
from depo_lightning.sweeps.trials import TrialState
from depo_lightning.trajectory import read_jsonl

OUT = Path(__file__).parent / "data"
SWEEPER = ("study_name", "sampler", "params", "objectives", "constraints", "replicate", "n_trials")
ROLLOUT = ("split", "validation_tasks", "test_tasks", "temperature")
CURVES = (
    "logratio/desirable", "logratio/undesirable", "bonus/desirable", "gradient_weight/desirable",
    "gradient_weight/undesirable", "leverage", "z0",
)  # fmt: skip
PAPER = (3.0, 3.0, 0.2)  # α1, α2, β: the trial nearest to them is the one that is scored
PATH = re.compile(r"(?<![\w.)/])/(?:\w[\w.-]*/)+")  # an absolute path; `a/b` and `1/2` are none


def main() -> int:
    """Read the arguments, build the data; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="Hydra's sweep directory")
    parser.add_argument("store", type=Path, help="the store that the sweep's jobs used")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    return guarded(lambda: make(options.sweep, options.store, options.out))


def make(sweep: Path, store: Path, out: Path = OUT) -> None:
    """Write all files; what `out` held of an earlier sweep is replaced.

    Raises:
        DataError: no finished job, a store that lacks what the jobs name, or a path of this machine in a result.
    """
    jobs = ended(collect_points(sweep))
    if not any(job.status is PointStatus.FINISHED for job in jobs):
        raise DataError(f"{sweep}: no finished job; give the directory of a sweep that has results")
    reduce_sweep(sweep, jobs, out / "pareto")
    finished = [job for job in jobs if job.status is PointStatus.FINISHED]
    keys = {job.job: json.loads((job.directory / "results.json").read_text())["keys"] for job in finished}
    labels = {job.job: label_set(job) for job in finished}
    write_preferences(store, {labels[job]: stages["rephrase"] for job, stages in keys.items()}, out)
    write_curves(store, {job: stages["depo"] for job, stages in keys.items()}, labels, out / "curves.csv")
    write_logratios(store, chosen_jobs(store, keys, labels), keys, labels, out / "logratios.csv")
    check_private(out)


def ended(jobs: Sequence[SweepPoint]) -> list[SweepPoint]:
    """Without the jobs that still run, and the finished jobs of trials that do."""
    if not any(job.trial for job in jobs):
        return [job for job in jobs if job.status is not PointStatus.MISSING]
    return [job for job in jobs if job.trial and job.trial.state is not TrialState.RUNNING]


def reduce_sweep(sweep: Path, jobs: Sequence[SweepPoint], out: Path) -> None:
    """Copy what `depo_lightning.sweeps.report` reads: swept values, metrics, episodes, trials, objectives."""
    shutil.rmtree(out, ignore_errors=True)
    config = OmegaConf.to_container(OmegaConf.load(sweep / "multirun.yaml"))
    assert isinstance(config, dict)
    sweeper = {key: value for key, value in config["hydra"]["sweeper"].items() if key in SWEEPER}
    rollout = {key: value for key, value in config.get("rollout", {}).items() if key in ROLLOUT}
    out.mkdir(parents=True)
    OmegaConf.save({"hydra": {"sweeper": sweeper}, "rollout": rollout}, out / "multirun.yaml")
    varied = {*varied_keys(jobs), "seed"}
    for job in jobs:
        folder = out / str(job.job)
        (folder / ".hydra").mkdir(parents=True)
        lines = OmegaConf.to_container(OmegaConf.load(job.directory / ".hydra" / "overrides.yaml"))
        kept = [line for line in map(str, lines or []) if line.partition("=")[0].lstrip("+~") in varied]
        OmegaConf.save(kept, folder / ".hydra" / "overrides.yaml")
        if job.trial:
            trial = json.loads((job.directory / "trial.json").read_text())
            dump(folder / "trial.json", {**trial, "warm_start": None})  # a path, or nothing
        if job.status is PointStatus.FINISHED:
            shutil.copyfile(job.directory / "episodes.csv", folder / "episodes.csv")
            dump(folder / "results.json", metrics_only(json.loads((job.directory / "results.json").read_text())))


def metrics_only(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results without times, store keys and the paired differences, which the episodes give again."""
    kept = {key: results[key] for key in ("schema", "main", "seeds", "split", "versions") if key in results}
    policies = {name: {"metrics": entry["metrics"]} for name, entry in results["policies"].items()}
    return {**kept, "policies": policies}


def label_set(job: SweepPoint) -> str:
    """The thresholds group that the job was composed with."""
    record = OmegaConf.load(job.directory / ".hydra" / "hydra.yaml")
    return str(OmegaConf.select(record, "hydra.runtime.choices.thresholds"))


def write_preferences(store: Path, labels: Mapping[str, str], out: Path) -> None:
    """A line per labelled trajectory; `tokens` lists its turns, in the policy's own tokens."""
    rows: list[Sequence[Any]] = []
    for name, key in sorted(labels.items()):
        for t in read_jsonl(store / "rephrase" / key / "trajectories.jsonl"):
            tokens = " ".join(str(step.tokens) for step in t.steps)
            rows.append((name, t.id, t.level, t.task, t.label, f"{t.reward:.6g}", tokens))
    write_csv(out / "preferences.csv", ("labels", "id", "level", "task", "label", "reward", "tokens"), rows)


def write_curves(store: Path, keys: Mapping[int, str], labels: Mapping[int, str], path: Path) -> None:
    """A line per training step and job, with the settings of the job's objective."""
    rows: list[Sequence[Any]] = []
    for job, key in sorted(keys.items()):
        settings = objective(store, key)
        for step, values in read_curves(store / "depo" / key / "metrics.csv"):
            if "z0" in values:  # else a row of validation rollouts
                cells = [f"{values[name]:.4g}" if name in values else "" for name in CURVES]
                rows.append((job, labels[job], *settings, step, *cells))
    write_csv(path, ("job", "labels", "alpha1", "alpha2", "beta", "seed", "step", *CURVES), rows)


def objective(store: Path, key: str) -> tuple[float, float, float, int]:
    """α1, α2, β and the seed that a stored policy was trained with."""
    config = json.loads((store / "depo" / key / "manifest.json").read_text())["config"]
    efficiency = config["efficiency"]
    return efficiency.get("alpha1", 0.0), efficiency.get("alpha2", 0.0), config["depo"]["beta"], config["seed"]


def chosen_jobs(store: Path, keys: Mapping[int, Mapping[str, str]], labels: Mapping[int, str]) -> list[int]:
    """For each set of labels the jobs of the settings nearest to the paper's, one per seed."""

    def distance(job: int) -> tuple[float, int]:
        alpha1, alpha2, beta, _ = objective(store, keys[job]["depo"])
        apart = abs(alpha1 - PAPER[0]) + abs(alpha2 - PAPER[1]) + abs(math.log2(beta / PAPER[2]))
        return apart, job

    found: dict[tuple[str, int], int] = {}
    for job in sorted(keys, key=distance):
        found.setdefault((labels[job], objective(store, keys[job]["depo"])[3]), job)
    return sorted(found.values())


def write_logratios(
    store: Path,
    jobs: Sequence[int],
    keys: Mapping[int, Mapping[str, str]],
    labels: Mapping[int, str],
    path: Path,
) -> None:
    """A line per trajectory and job: log π_θ − log π_BC of every turn under the trained policy, and that of its pair.

    The pair is the mismatched completion from whose mean over a batch z0 comes.
    """
    rows: list[Sequence[Any]] = []
    for job in jobs:
        settings = objective(store, keys[job]["depo"])
        for name, turns, pair in logratios(store, keys[job], settings[3]):
            rows.append((job, labels[job], *settings, name, " ".join(f"{v:.3f}" for v in turns), f"{pair:.3f}"))
    write_csv(path, ("job", "labels", "alpha1", "alpha2", "beta", "seed", "id", "logratios", "pair"), rows)


def logratios(store: Path, keys: Mapping[str, str], seed: int) -> list[tuple[str, list[float], float]]:
    """Score the training data with a stored policy, against the stored reference."""
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.data import PreferenceData, PreferenceSample, ReferenceLogps, compute_reference
    from depo_lightning.stages.policies import load_policy

    model, tokenizer = load_policy(store / "depo" / keys["depo"])
    encode = ChatRenderer(tokenizer).encode
    trajectories = read_jsonl(store / "rephrase" / keys["rephrase"] / "trajectories.jsonl")
    samples = [PreferenceSample.from_trajectory(t, encode(t.messages())) for t in trajectories]
    reference = ReferenceLogps.load(store / "reference" / keys["reference"] / "reference.json")
    data = PreferenceData(samples, kl_pairs=1, seed=seed)
    reference.check(data.fingerprint())
    policy = compute_reference(model, data, batch_tokens=4096)
    return [
        (
            sample.id,
            [ours - theirs for ours, theirs in zip(policy.steps[sample.id], reference.steps[sample.id], strict=True)],
            policy.pairs[sample.id][0] - reference.pairs[sample.id][0],
        )
        for sample in samples
    ]


def check_private(out: Path) -> None:
    """Refuse to leave a path or the name of this machine in what will be shared."""
    host = socket.gethostname()
    faults = []
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        text = path.read_text(encoding="utf-8")
        found = PATH.search(text)
        if found or (len(host) > 3 and host in text):
            faults.append(f"{path}: holds {found[0] if found else host!r}; remove it before you share the file")
    if faults:
        raise DataError(faults)


def dump(path: Path, value: Any) -> None:
    """Compact JSON, a line per entry of the top level."""
    lines = [f"{json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}" for key, entry in value.items()]
    path.write_text("{" + ",\n ".join(lines) + "}\n", encoding="utf-8")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A CSV file with Unix line ends."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


if __name__ == "__main__":
    raise SystemExit(main())
