"""The run over the stages of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from depo_lightning import team
from depo_lightning.config import STAGES, Config, to_config
from depo_lightning.errors import ConfigError
from depo_lightning.files import machine_faults
from depo_lightning.plan import Plan, plan
from depo_lightning.processes import forget_launcher, give_back_large_blocks
from depo_lightning.progress import console
from depo_lightning.stages.context import CURVES, RESULTS, Context
from depo_lightning.store import Stage, Store
from depo_lightning.validation import validate

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from depo_lightning.tracking import Tracker


def run(config: Config) -> dict[str, float] | None:
    """Validate, run the chosen stages, report.

    Returns:
        Metrics by name, for a sweeper (see `stages.report.objectives`); None where `report` is not among the stages,
        and in the processes that only train with this one.

    Raises:
        ConfigError: before any work, all faults at once.
        DataError: unusable data. MachineError: disk full, read-only directory and the like; the store stays intact.
    """
    from depo_lightning.tracking import start_tracker

    forget_launcher()
    give_back_large_blocks()
    validate(config)
    if team.rank() > 0:
        team.serve(config)
        return None
    _check_output(Path(config.output))
    store = Store(config.store)
    laid_out = plan(config, Context(config))
    _require_inputs(config, store, laid_out)
    with team.lead(config), start_tracker(config) as tracker:
        context = Context(config, tracker)
        laid_out = plan(config, context)
        for phase, name, stage in laid_out.steps:
            if _wanted(config, phase):
                _get(store, name, stage, tracker)
        if "report" not in config.stages:
            return None
        return _report(config, store, laid_out, tracker)


def run_shared(jobs: Sequence[DictConfig]) -> None:
    """Compute the stages that all these jobs need and the store lacks, as far as their inputs are stored.

    Raises:
        DepoError: as `run` does; the first job would meet the same.
    """
    from depo_lightning.tracking import Tracker

    forget_launcher()
    give_back_large_blocks()
    configs = [to_config(job) for job in jobs]
    config = configs[0]
    if any(other.store != config.store for other in configs):
        return
    validate(config)
    store, tracker = Store(config.store), Tracker(None)
    plans = [plan(each, Context(each, tracker)) for each in configs]
    keys = set.intersection(*({stage.key for _, _, stage in laid_out.steps} for laid_out in plans))
    with team.lead(config):
        for phase, name, stage in plans[0].steps:
            needed = stage.key in keys and _wanted(config, phase) and not store.has(stage)
            if needed and all(map(store.has, stage.inputs.values())):
                if lacks := list(stage.needs()):
                    raise ConfigError(lacks)
                _get(store, name, stage, tracker)


def _report(config: Config, store: Store, laid_out: Plan, tracker: Tracker) -> dict[str, float]:
    from depo_lightning.stages.report import report

    stages = {name: stage for _, name, stage in laid_out.steps if store.has(stage)}
    evaluations, answers = laid_out.evaluations, laid_out.answers
    return report(config, store, stages, laid_out.policies, evaluations, answers, laid_out.main, tracker)


def _check_output(output: Path) -> None:
    with machine_faults("the output directory cannot be used", output):
        output.mkdir(parents=True, exist_ok=True)
        (output / RESULTS).unlink(missing_ok=True)  # of an earlier run: what stands here must be this run's
        probe = output / ".probe"
        probe.touch()
        probe.unlink()


def _wanted(config: Config, phase: str) -> bool:
    """Whether a phase is to run; the tokenizer is nobody's phase: it is made once a stage wants it."""
    if phase == "tokenizer":
        return any(stage in config.stages for stage in STAGES if stage not in ("collect", "report"))
    return phase in config.stages


def _require_inputs(config: Config, store: Store, laid_out: Plan) -> None:
    """Every input of a stage to run must be stored, or run before it, and the machine must have what it needs."""
    running = {stage.key for phase, _, stage in laid_out.steps if _wanted(config, phase)}

    def there(stage: Stage) -> bool:
        return stage.key in running or store.has(stage)

    faults: dict[str, None] = {}
    for phase, _, stage in laid_out.steps:
        if _wanted(config, phase) and not store.has(stage):
            for source in stage.inputs.values():
                if not there(source):
                    text = f"stages={config.stages}: {stage.name!r} needs {source.name!r}, which is not stored; add it"
                    faults[text] = None
            faults |= dict.fromkeys(stage.needs())
    evaluated = [
        *laid_out.evaluations.values(),
        *(stage for given in laid_out.answers.values() for stage in given.values()),
    ]
    if "report" in config.stages and not all(map(there, evaluated)):
        faults[f"stages={config.stages}: 'report' needs 'evaluate', which is not stored; add it"] = None
    if faults:
        raise ConfigError(faults)


def _get(store: Store, name: str, stage: Stage, tracker: Tracker) -> None:
    if not store.has(stage):
        console.print(f"[bold]{name}[/]  {stage.title}  [dim]{stage.key}: {store.explain(stage)}[/]")
    artifact = store.get(stage)
    if not artifact.reused:
        console.print(f"[bold]{name}[/]  done in {artifact.seconds:.1f} s")
        return
    console.print(f"[bold]{name}[/]  [green]reused[/] [dim]{stage.key}, {artifact.reason}[/]")
    if (artifact.path / CURVES).exists():
        tracker.replay(name, artifact.path / CURVES)
