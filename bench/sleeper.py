"""A job that only sleeps: number n for as long as the n-th entry of the JSON list in SLEEPER_SECONDS says."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from depo_lightning.cli import guarded


@hydra.main(version_base="1.3", config_path=None)
def main(cfg: DictConfig) -> dict[str, float]:
    """Sleep; leave start and end as Unix times in the file that SLEEPER_LOG names."""
    started = time.time()
    time.sleep(json.loads(os.environ["SLEEPER_SECONDS"])[cfg.job])
    with Path(os.environ["SLEEPER_LOG"]).open("a") as file:
        file.write(f"{cfg.job} {started} {time.time()}\n")
    return {"loss": float(cfg.job)}


if __name__ == "__main__":
    sys.exit(guarded(main))
