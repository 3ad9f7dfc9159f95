"""DEPO (arXiv 2511.15392) as an experiment framework: agents that succeed with fewer tokens and fewer steps.

Submodules load on first use, so that `import depo_lightning` costs nothing:

    import depo_lightning as dl
    env = dl.envs.make("babyai")
    loss = dl.objectives.depo_loss(...)
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_SUBMODULES = ("envs", "exports", "objectives", "pareto", "trajectory")


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return import_module(f"depo_lightning.{name}")
    raise AttributeError(f"module 'depo_lightning' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES])
