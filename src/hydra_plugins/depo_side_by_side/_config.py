"""The launcher's configuration, in a module that Hydra's search for plugins leaves alone: a dataclass needs its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore


@dataclass
class SideBySideConfig:
    """`hydra/launcher=side_by_side`: the jobs of a grid, several at a time on this machine."""

    _target_: str = "hydra_plugins.depo_side_by_side.launcher.SideBySideLauncher"
    n_jobs: int | None = None  # at a time; null: what the cores hold for the tiny model on the CPU, else 1
    preload: list[str] = field(default_factory=lambda: ["depo_lightning.preload"])  # imported once, for all jobs
    prepare: str | None = (
        "depo_lightning.pipeline.run_shared"  # called with the jobs' configurations, before they start
    )


def register() -> None:
    """Put the launcher into Hydra's ConfigStore."""
    store = ConfigStore.instance()
    store.store(group="hydra/launcher", name="side_by_side", node=SideBySideConfig, provider="depo_lightning")
