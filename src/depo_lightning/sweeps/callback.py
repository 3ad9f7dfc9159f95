"""Hydra's hook at the end of a sweep. Light to import: Hydra loads it before every run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from depo_lightning.cli import fail_later


class SweepReport(Callback):
    """Writes the report of a sweep and its W&B summary run when all its jobs are done.

    To use it in a config:

        hydra:
          callbacks:
            sweep_report:
              _target_: depo_lightning.sweeps.callback.SweepReport
              logger: ${logger}

    Args:
        policy: the policy to compare; None is the one that each job's results name as `main`.
        objectives: metric → direction; None is what the sweep optimises, else success up, tokens per episode down.
        logger: fields of the logger group (kind, project, entity, offline); None keeps no summary run.
    """

    def __init__(
        self,
        policy: str | None = None,
        objectives: Mapping[str, str] | None = None,
        logger: Mapping[str, Any] | None = None,
    ) -> None:
        self._policy = policy
        self._objectives = dict(objectives) if objectives else None
        self._logger = dict(logger) if logger else {"kind": "none"}

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Report; a failure here is told and loses nothing, as all jobs' results are on disk."""
        directory = Path(config.hydra.sweep.dir)
        try:
            self._report(directory)
        except Exception as error:
            print(f"the sweep is complete, but its report failed: {error}\nresults: {directory}", file=sys.stderr)
            fail_later(1)

    def _report(self, directory: Path) -> None:
        from depo_lightning.progress import console
        from depo_lightning.sweeps.report import write_report
        from depo_lightning.sweeps.summary_run import log_sweep_summary
        from depo_lightning.sweeps.table import closing_tables

        report = write_report(directory, self._policy, self._objectives)
        for code in sorted({code for job in report.jobs if (code := job.exit_code)}):
            fail_later(code)  # a launcher may have run the jobs in other processes, which keep their failures
        console.print(closing_tables(report))
        console.print(f"tables, front and figures: {directory}", markup=False)
        log_sweep_summary(report, **self._logger)
