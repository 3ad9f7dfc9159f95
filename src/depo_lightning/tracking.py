"""Experiment tracking: one `Tracker` per job, over W&B, TensorBoard, CSV or nothing.

Tracking is a convenience: if it breaks in the middle of a run, the run goes on with one warning.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depo_lightning.curves import read_curves
from depo_lightning.errors import ConfigError
from depo_lightning.files import machine_faults
from depo_lightning.results import tables
from depo_lightning.tracking_backends import Backend, CsvBackend, TensorBoardBackend, WandbBackend
from depo_lightning.tracking_link import job_record, local_name, write_link

if TYPE_CHECKING:
    from depo_lightning.config import Config

_SECRET = re.compile(
    r"(^|[_.])(api_?key|secret|password|passwd|credentials?|authorization)$"
    r"|(access|auth|hf|hub|bearer)_token$|(^|\.)token$",
    re.IGNORECASE,
)


class Tracker:
    """Sends one job's curves, figures and results to a backend; build it with `Tracker.start`.

    As a context manager it finishes on leaving, and marks the run failed if an exception passes.
    """

    def __init__(self, backend: Backend | None) -> None:
        self._backend = backend
        self._summary: dict[str, float] = {}
        self._link: dict[str, Any] = {}

    @classmethod
    def start(
        cls,
        kind: str,
        directory: str | os.PathLike[str],
        *,
        project: str = "depo_lightning",
        entity: str | None = None,
        group: str | None = None,
        name: str | None = None,
        job_type: str | None = None,
        config: Mapping[str, Any] | None = None,
        offline: bool = False,
    ) -> Tracker:
        """Open the backend `kind`: "wandb", "tensorboard", "csv" or "none".

        W&B runs online where an API key is found (`WANDB_API_KEY`, netrc) unless `offline` or `WANDB_MODE` say
        otherwise, else offline; it never prompts. Values of `config` that look like keys are blanked out. What the
        run is called there stands in the directory's `tracking.json` (see `tracking_link`).

        Args:
            kind: the backend.
            directory: the run's output directory; all files go below it.
            project, entity, group, name, job_type: as W&B names them; runs of one sweep share a group.
            config: plain values.
            offline: stay offline even where a key is there.

        Raises:
            ConfigError: unknown kind.
            MachineError: the directory cannot be written.
        """
        if kind not in ("wandb", "tensorboard", "csv", "none"):
            raise ConfigError(f"logger.kind={kind!r}: unknown; choose wandb, tensorboard, csv or none")
        root, plain = Path(directory), redacted(config or {})
        tracker = cls(None)
        if kind == "none":
            tracker._guarded(lambda: write_link(root, {}))
            return tracker
        with machine_faults("cannot track the run", root):
            root.mkdir(parents=True, exist_ok=True)
        init = {"project": project, "entity": entity, "group": group, "name": name, "job_type": job_type}
        start: dict[str, Callable[[], Backend]] = {
            "csv": lambda: CsvBackend(root),
            "tensorboard": lambda: TensorBoardBackend(root / "tensorboard", plain),
            "wandb": lambda: WandbBackend.open(root, init, plain, offline),
        }
        tracker._backend = tracker._guarded(start[kind])
        tracker._guarded(lambda: tracker._tell(root))
        return tracker

    @property
    def link(self) -> dict[str, Any]:
        """Where the run is tracked, as in `tracking.json`; empty once tracking has stopped."""
        return self._link if self._backend is not None else {}

    def _tell(self, root: Path) -> None:
        self._link = self._backend.link(root) if self._backend is not None else {}
        write_link(root, self._link)

    def log(self, metrics: Mapping[str, Any], step: int, prefix: str) -> None:
        """Add a point to the curves `prefix/name`, over `prefix/step`; what is no number is left out."""
        values = {name: float(value) for name, value in metrics.items() if isinstance(value, Real)}
        if values:
            self._call("scalars", values, int(step), prefix)

    def replay(self, prefix: str, path: str | os.PathLike[str]) -> None:
        """Log the curves of a stage that came from the store, from its `metrics.csv`; no file, no curves."""
        for step, metrics in read_curves(path):
            self.log(metrics, step, prefix)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a table (W&B and TensorBoard)."""
        self._call("table", name, columns, rows)

    def image(self, name: str, path: str | os.PathLike[str]) -> None:
        """Add a PNG (W&B and TensorBoard)."""
        self._call("image", name, Path(path))

    def plot(self, name: str, figure: Any) -> None:
        """Add an interactive plotly figure (W&B)."""
        self._call("plot", name, figure)

    def lightning_loggers(self, prefix: str) -> list[Any]:
        """Loggers for a Lightning trainer, whose metrics become the curves `prefix/…`; none without a backend."""
        return [lightning_logger(self, prefix)] if self._backend is not None else []

    def summarise(self, values: Mapping[str, float]) -> None:
        """Add final scalars to the run's summary, under their names."""
        self._summary.update(values)

    def report(self, results: Mapping[str, Any], figure: str | os.PathLike[str]) -> None:
        """Add a run's results (`results.json`) to the summary, as `flat_results` names them, and its figure."""
        self.summarise(flat_results(results))
        self.image("success against tokens", figure)

    def finish(self, failed: bool = False) -> None:
        """Write the summary and close; a second call does nothing."""
        self._call("finish", self._summary, failed)
        self._backend = None

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.finish(failed=kind is not None)

    def _call(self, method: str, *args: Any) -> None:
        if self._backend is not None:
            self._guarded(lambda: getattr(self._backend, method)(*args))

    def _guarded(self, work: Callable[[], Any]) -> Any:
        """Whatever a tracking service raises must not end a run that took hours: warn once, then stop tracking."""
        try:
            return work()
        except Exception as error:
            self._backend = None
            warnings.warn(f"tracking stopped, the run goes on: {type(error).__name__}: {error}", stacklevel=4)
            return None


def start_tracker(config: Config) -> Tracker:
    """The tracker of a run, as its configuration says; jobs of a sweep are grouped by the sweep."""
    output, logger, values = Path(config.output), config.logger, asdict(config)
    paths = {name: local_name(values[name]) for name in ("output", "store", "sweep") if values[name]}
    group = run_group(config.sweep) if config.sweep else None
    return Tracker.start(
        str(logger.kind),
        output,
        project=logger.project,
        entity=logger.entity,
        group=group,
        name=f"{group}-{output.name}" if group else run_group(output),
        job_type="job" if group else "run",
        config={**values, **paths, "job": job_record(output)},
        offline=logger.offline,
    )


def run_group(directory: str | os.PathLike[str]) -> str:
    """What a sweep (or a run) is called after its directory: the last two parts, such as `2026-01-31-12-00-00`."""
    return "-".join(Path(directory).parts[-2:])


def lightning_logger(tracker: Tracker, prefix: str) -> Any:
    """A Lightning logger that forwards what a module logs to `tracker`, as curves `prefix/…` over the global step."""
    from pytorch_lightning.loggers.logger import Logger
    from pytorch_lightning.utilities import rank_zero_only

    class TrackerLogger(Logger):
        @property
        def name(self) -> str:
            return prefix

        @property
        def version(self) -> str:
            return ""

        @rank_zero_only
        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            """The tracker got the whole configuration at its start."""

        @rank_zero_only
        def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
            tracker.log(metrics, step or 0, prefix)

    return TrackerLogger()


def flat_results(results: Mapping[str, Any]) -> dict[str, float]:
    """A results dictionary as flat scalars: `depo/success_rate`, `depo/success_rate_se`, `depo/counts/crashed`,
    `depo/difference/tokens`, …; undefined values are left out.

    The estimates of the policy that `results["main"]` names are there without its name too, `success_rate` and so on,
    so that runs with different main policies share the axes of a plot. Answers to a set of questions stand under its
    name, `depo/gsm8k/accuracy`, `gsm8k/accuracy`, and the episodes of an environment of several under its own.
    """
    flat: dict[str, float | None] = {}
    for within, policies in tables(results):
        for policy, entry in policies.items():
            prefixes = (f"{policy}/", "") if policy == results.get("main") else (f"{policy}/",)
            for name, estimate in {**entry["metrics"], **entry.get("timing", {})}.items():
                for prefix in prefixes:
                    key = f"{prefix}{within}{name}"
                    flat[key], flat[f"{key}_se"] = estimate["mean"], estimate["se"]
            flat |= {f"{policy}/{within}counts/{name}": count for name, count in entry["counts"].items()}
            for name, difference in (entry["difference_to_bc"] or {}).items():
                flat |= {
                    f"{policy}/{within}difference/{name}{end}": difference[key]
                    for end, key in (("", "mean"), ("_low", "low"), ("_high", "high"))
                }
    return {name: value for name, value in flat.items() if value is not None}


def redacted(config: Any) -> Any:
    """A configuration as plain values, with the values of keys, tokens and passwords blanked out, at any depth."""
    if isinstance(config, Mapping):
        return {
            key: "***" if _SECRET.search(str(key)) and value is not None else redacted(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return [redacted(item) for item in config]
    return str(config) if isinstance(config, str) else config  # enums are strings, and read as such
