"""The jobs of a grid side by side: one process each, the work that they share before them with all cores."""

from __future__ import annotations

import copy
import logging
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from rich.markup import escape

from depo_lightning.children import ChildDied, end_children, run_child
from depo_lightning.choices import OBJECTIVES
from depo_lightning.cli import fail_later, failed_code
from depo_lightning.errors import ConfigError
from depo_lightning.files import write_atomic
from depo_lightning.processes import cores, machine_cores, told_threads
from depo_lightning.progress import bar, console, into_file
from depo_lightning.tuning.jobs import compose_job, run_composed
from depo_lightning.tuning.outcome import ERROR, of_silence

OUTPUT = "output.log"  # in each job's directory: what it would have printed
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Ended:
    """What a child hands back."""

    job: JobReturn
    directory: Path
    code: int = 0


@dataclass(frozen=True)
class Grid:
    """Jobs that Hydra's sweeper wants run.

    Attributes:
        function, context, config: as Hydra hands them to a launcher.
        overrides: of each job.
        first: number of the first job.
    """

    function: TaskFunction
    context: HydraContext
    config: DictConfig
    overrides: Sequence[Sequence[str]]
    first: int

    @cached_property
    def corners(self) -> list[DictConfig]:
        """Configurations of the first and the last job: a product's differ in all that is swept."""
        count = len(self.overrides)
        return [
            compose_job(self.context, self.config, self.first + i, self.overrides[i]) for i in sorted({0, count - 1})
        ]

    def run(self, count: int, preload: Sequence[str], prepare: str | None) -> list[JobReturn]:
        """Run all jobs, `count` at a time; what several share is computed first.

        A job that fails or is killed does not stop the others, and decides the exit code of this process.

        Args:
            count: processes; the cores are shared out among them.
            preload: modules that all jobs need, imported once.
            prepare: dotted name of a function; called in a process of its own with the jobs' configurations.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        log.info(f"Launching {len(self.overrides)} jobs, {count} at a time; each writes what it prints to its {OUTPUT}")
        try:
            if prepare is not None:
                self._prepare(prepare, preload)
            return self._run(count, preload)
        except BaseException:  # Ctrl-C above all
            end_children()
            raise

    def _prepare(self, function: str, preload: Sequence[str]) -> None:
        configs = [_for_task(config, Path(self.config.hydra.sweep.dir).absolute()) for config in self.corners]
        try:
            fault = run_child(partial(_fault, function, configs), "shared work", preload, cores())
        except ChildDied as death:
            fault = str(death)
        if fault:
            console.print(
                f"[yellow]what the jobs share was not finished[/] ({escape(fault)}); they see to it themselves"
            )

    def _run(self, count: int, preload: Sequence[str]) -> list[JobReturn]:
        threads = told_threads() or max(1, machine_cores() // count)
        state = Singleton.get_state()
        due: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(self.overrides)):
            due.put(index)
        ended: queue.SimpleQueue[tuple[int, _Ended | BaseException, float]] = queue.SimpleQueue()

        def work() -> None:
            while True:
                try:
                    index = due.get_nowait()
                except queue.Empty:
                    return
                started = time.monotonic()
                job = _Job(self.function, self.context, self.config, state, self.first + index, self.overrides[index])
                end: _Ended | BaseException
                try:
                    end = run_child(job, f"job {job.number}", preload, threads)
                except BaseException as error:
                    end = error
                ended.put((index, end, time.monotonic() - started))

        for slot in range(count):
            threading.Thread(target=work, name=f"jobs {slot}", daemon=True).start()
        returns: dict[int, JobReturn] = {}
        with bar("jobs", len(self.overrides)) as advance:
            while len(returns) < len(self.overrides):
                try:
                    index, end, seconds = ended.get(timeout=0.5)  # in slices, so that Ctrl-C is heard
                except queue.Empty:
                    continue
                if isinstance(end, ChildDied):
                    end = self._dead(index, end)
                elif isinstance(end, BaseException):
                    raise end
                returns[index] = end.job
                self._print_end(index, end, f"[dim]{seconds:.0f} s; {len(returns)} of {len(self.overrides)}[/]")
                advance()
                if end.code:
                    fail_later(end.code)
        return [returns[index] for index in range(len(self.overrides))]

    def _dead(self, index: int, death: ChildDied) -> _Ended:
        """A job without a result counts as one whose task has failed: the others' results are reported."""
        config = compose_job(self.context, self.config, self.first + index, self.overrides[index])
        directory = _directory(config)
        write_atomic(directory / ERROR, f"{death}\n")
        job = JobReturn(overrides=list(self.overrides[index]), cfg=_for_task(config, directory), hydra_cfg=config)
        job.status = JobStatus.COMPLETED
        return _Ended(job, directory, code=1)

    def _print_end(self, index: int, end: _Ended, count: str) -> None:
        fixed = set.intersection(*map(set, self.overrides)) if len(self.overrides) > 1 else set()
        own = " ".join(filter_overrides([override for override in self.overrides[index] if override not in fixed]))
        if end.job.status is JobStatus.FAILED:
            words = "[red]fail[/]: the task raised"  # the sweeper raises it again when all have ended
        elif end.code:
            outcome = of_silence(end.directory)
            words = f"[red]fail[/]: {escape(outcome.reason)}"
            print((end.directory / ERROR).read_text(encoding="utf-8").rstrip(), file=sys.stderr)
        else:
            words = _numbers(end.job.return_value)
        console.print(f"[bold]job {self.first + index}[/]  {escape(own)}  {words}  {count}")


def jobs_at_a_time(told: int | None, grid: Grid) -> int:
    """How many of the jobs are to run side by side.

    Without a word of the user, one for every core, or for as many cores as each is told to compute with, where the
    jobs' model is the tiny one on the CPU; a larger model's memory, or a GPU's, may hold no more than one.

    Raises:
        ConfigError: the user's word is below 1.
    """
    if told is not None and told < 1:
        raise ConfigError(f"hydra.launcher.n_jobs={told}: must be at least 1, or null")
    if len(grid.overrides) < 2:
        return 1
    if told is None:
        told = min(_places(config) for config in grid.corners)
    return min(told, len(grid.overrides))


def _places(config: DictConfig) -> int:
    if (OmegaConf.select(config, "trainer.accelerator"), OmegaConf.select(config, "model.name")) != ("cpu", "tiny"):
        return 1
    threads = OmegaConf.select(config, "trainer.threads") or told_threads() or 1
    return max(1, machine_cores() // threads)


@dataclass(frozen=True)
class _Job:
    """One job, to be called in a child."""

    function: TaskFunction
    context: HydraContext
    config: DictConfig
    state: dict[Any, Any]
    number: int
    overrides: Sequence[str]

    def __call__(self) -> _Ended:
        directories: list[Path] = []

        def quietly(task_config: DictConfig) -> Any:
            directories.append(Path(HydraConfig.get().runtime.output_dir))
            into_file(directories[0] / OUTPUT)
            return self.function(task_config)

        job = run_composed(self.context, self.config, self.state, self.number, self.overrides, quietly)
        return _Ended(job, directories[0], failed_code())


def _fault(function: str, configs: list[DictConfig]) -> str:
    """Do the work that the jobs share; returns what went wrong, which the jobs that need the work will tell in full."""
    module, _, name = function.rpartition(".")
    try:
        getattr(import_module(module), name)(configs)
    except Exception as error:
        return type(error).__name__
    return ""


def _directory(config: DictConfig) -> Path:
    with _hydra_config(config):
        return Path(config.hydra.sweep.dir).absolute() / config.hydra.sweep.subdir


def _for_task(config: DictConfig, output: Path) -> DictConfig:
    """What the task of a job is given, where the job itself has no directory yet."""
    task_config = copy.deepcopy(config)
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(output)
    with open_dict(task_config):
        del task_config["hydra"]
    with _hydra_config(config):
        OmegaConf.resolve(task_config)
    return task_config


@contextmanager
def _hydra_config(config: DictConfig) -> Iterator[None]:
    """What `${hydra:…}` refers to."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def _numbers(value: Any) -> str:
    found = value if isinstance(value, dict) else {}
    return ", ".join(f"{name} {found[name]:.4g}" for name in OBJECTIVES if name in found) or "done"
