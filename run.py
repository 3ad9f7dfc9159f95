"""Run the pipeline, or with `-m` a sweep of it: `python run.py --help`.

Nothing heavy at the top: every process that a stage starts loads this file again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # `cli.guarded` words the errors itself

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads sleep, not spin: many times faster on busy cores

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch's large tensors in huge pages: see `give_back_large_blocks`

HERE = Path(__file__).resolve()


def job(cfg: DictConfig) -> dict[str, float] | None:
    """Validate and run one composed configuration; returns the main policy's objectives."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from depo_lightning.cli import guarded_job
    from depo_lightning.config import to_config
    from depo_lightning.pipeline import run

    config = to_config(cfg)
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.MULTIRUN:
        config.sweep = hydra_config.sweep.dir
    return guarded_job(lambda: run(config), config.output)


def main() -> None:
    """Compose the command line's configuration, and run it or explain it."""
    import hydra

    from depo_lightning import app_help
    from depo_lightning.config import register

    register()
    if app_help.wanted(sys.argv[1:]):
        print(app_help.help_text(sys.argv[1:], HERE.parent / "conf", "config", HERE.stem))
    else:
        hydra.main(version_base="1.3", config_path="conf", config_name="config")(job)()


if __name__ == "__main__":
    from depo_lightning.cli import guarded

    sys.exit(guarded(main))
