"""Fixtures: a composed configuration, as `run.py` would hand it over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from depo_lightning.config import Config, register, to_config

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in parallel; see pyproject.toml
ROOT = Path(__file__).parents[1]


@pytest.fixture
def compose_config(tmp_path: Path) -> Callable[..., Config]:
    """A function from override strings to a Config whose store and output lie in the test's folder."""
    register()

    def build(*overrides: str) -> Config:
        own = [f"store={tmp_path / 'store'}", f"output={tmp_path / 'output'}"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return to_config(compose("config", overrides=[*own, *overrides]))

    return build
