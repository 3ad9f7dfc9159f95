"""The grid as a sampler: all points are queued in order when the study is made, so a crash leaves none out."""

from __future__ import annotations

import itertools
from typing import Any

from optuna.samplers import RandomSampler

from depo_lightning.errors import ConfigError
from depo_lightning.tuning.space import Space


class GridSampler(RandomSampler):
    """Stands for `hydra/sweeper/sampler=grid`; has nothing left to sample, as the queue holds every point."""


def grid_points(space: Space) -> list[dict[str, Any]]:
    """Every combination of the parameters' values, the last parameter running fastest, as Hydra's own sweeper does.

    Raises:
        ConfigError: a parameter is continuous.
    """
    axes = {name: parameter.grid for name, parameter in space.parameters.items()}
    if endless := [name for name, axis in axes.items() if axis is None]:
        raise ConfigError(
            f"hydra/sweeper/sampler=grid: {name} is continuous; give it a choice or a range, or choose another sampler"
            for name in endless
        )
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*(a or [] for a in axes.values()))]
