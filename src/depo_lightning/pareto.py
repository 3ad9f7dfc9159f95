"""Pareto front and hypervolume, on moocore's algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import moocore
import numpy as np
from numpy.typing import ArrayLike

from depo_lightning.errors import ConfigError


class Direction(StrEnum):
    """What is better in one objective."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


def front(points: ArrayLike, directions: Sequence[str]) -> list[int]:
    """Indices of the non-dominated points, in ascending order.

    A point dominates another if it is at least as good in every objective and better in one. Equal points do not
    dominate each other: duplicates on the front are all kept. A point with a NaN (or None) is never on the front
    and dominates nothing: it was not measured. Infinities are values like others.

    Args:
        points: shape (n, m), one row per point; n may be 0.
        directions: "maximize" or "minimize" for each of the m objectives.

    Raises:
        ConfigError: shapes or directions that do not fit.
    """
    maximise = _maximise(directions)
    values = _matrix(points, len(maximise))
    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    if known.size == 0:
        return []
    kept = moocore.is_nondominated(_ranks(values[known]), maximise=maximise, keep_weakly=True)
    return [int(index) for index in known[kept]]


def hypervolume(points: ArrayLike, reference: ArrayLike, directions: Sequence[str] | None = None) -> float:
    """Volume of the region that the points dominate, bounded by the reference point.

    Points that are not better than the reference in every objective, or hold a NaN, add nothing. A point that is
    better in all of them, and infinitely so in one, makes the volume infinite.

    Args:
        points: shape (n, m); n may be 0.
        reference: shape (m,), finite; a point that is worse than all of interest.
        directions: "maximize" or "minimize" per objective; None minimises all.

    Raises:
        ConfigError: shapes, directions or a reference that do not fit.
    """
    bound = _floats(reference, "reference")
    if bound.ndim != 1 or bound.size == 0 or not np.isfinite(bound).all():
        raise ConfigError(f"reference={reference!r}: give one finite number per objective")
    maximise = _maximise([Direction.MINIMIZE] * bound.size if directions is None else directions)
    if len(maximise) != bound.size:
        raise ConfigError(f"directions={list(directions or ())!r}: {bound.size} objectives need {bound.size} of them")
    values = _matrix(points, bound.size)
    gains = (values - bound) * np.where(maximise, 1.0, -1.0)
    inside = (gains > 0).all(axis=1)  # no NaN is
    values, gains = values[inside], gains[inside]
    if len(values) == 0:
        return 0.0
    if np.isinf(values).any():
        return float("inf")
    if bound.size == 1:  # moocore wants two objectives: here the volume is a length
        return float(gains.max())
    return float(moocore.hypervolume(values, ref=bound, maximise=maximise))


def _maximise(directions: Sequence[str]) -> list[bool]:
    if isinstance(directions, str) or len(directions) == 0 or any(d not in list(Direction) for d in directions):
        raise ConfigError(f"directions={directions!r}: give 'maximize' or 'minimize' for each objective, as a list")
    return [d == Direction.MAXIMIZE for d in directions]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Each column by rank, ties alike: the same dominance without infinities, on which moocore can crash."""
    columns = [np.unique(column, return_inverse=True)[1] for column in values.T]
    return np.stack(columns, axis=1).astype(float)


def _matrix(points: ArrayLike, objectives: int) -> np.ndarray:
    values = _floats(points, "points")
    if values.size == 0:
        return np.empty((0, objectives))
    if values.ndim != 2 or values.shape[1] != objectives:
        raise ConfigError(f"points of shape {values.shape}: expected (n, {objectives}), a column per objective")
    return values


def _floats(values: ArrayLike, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}={values!r}: expected numbers, rows of equal length") from error
