"""`hydra/launcher=side_by_side`. Hydra imports this before every run: what is heavy waits in `depo_lightning`."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn

from hydra_plugins.depo_side_by_side._config import register

register()


class SideBySideLauncher(BasicLauncher):
    """Jobs in child processes; with one at a time Hydra's basic launcher, in this process."""

    def __init__(self, n_jobs: int | None, preload: Sequence[str], prepare: str | None) -> None:
        super().__init__()
        self._n_jobs, self._preload, self._prepare = n_jobs, list(preload), prepare

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; returns what became of them, in their order.

        Raises:
            ConfigError: `n_jobs` is below 1.
        """
        from depo_lightning.side_by_side import Grid, jobs_at_a_time

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.task_function is not None
        grid = Grid(self.task_function, self.hydra_context, self.config, job_overrides, initial_job_idx)
        count = jobs_at_a_time(self._n_jobs, grid)
        if count == 1:
            return super().launch(job_overrides, initial_job_idx)
        return grid.run(count, self._preload, self._prepare)
