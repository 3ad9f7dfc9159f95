"""Run the pipeline, or with `-m` a sweep of it: `python run.py --help`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # `cli.guarded` words the errors itself

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads sleep, not spin: many times faster on busy cores

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from depo_lightning.cli import guarded, guarded_job
from depo_lightning.config import register, to_config

if TYPE_CHECKING:
    from omegaconf import DictConfig

register()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> dict[str, float] | None:
    """Compose, validate, run; returns the main policy's objectives."""
    from depo_lightning.pipeline import run

    config = to_config(cfg)
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.MULTIRUN:
        config.sweep = hydra_config.sweep.dir
    return guarded_job(lambda: run(config), config.output)


if __name__ == "__main__":
    sys.exit(guarded(main))
