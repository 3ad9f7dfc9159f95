"""`hydra/sweeper=depo_optuna`. Hydra imports this before every run: what is heavy waits in `depo_lightning.tuning`."""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from depo_lightning.tuning.config import register

register()


class DepoOptunaSweeper(Sweeper):
    """Search by Optuna; fields as in `depo_lightning.tuning.config.SweeperConfig`."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self.launcher = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config, self._task_function = hydra_context, config, task_function

    def sweep(self, arguments: list[str]) -> Any:
        """Run the study's remaining trials; returns it.

        Raises:
            ConfigError: before any trial, all faults at once.
        """
        from depo_lightning.tuning.driver import sweep

        assert self.hydra_context is not None
        assert self.config is not None
        return sweep(self._settings, arguments, self.hydra_context, self._task_function, self.config)
