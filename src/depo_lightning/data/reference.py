"""Reference log-probabilities: computed once for a policy and a data set, shared by every point of a sweep."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from depo_lightning.data.order import bucketed
from depo_lightning.data.packing import Packing
from depo_lightning.data.rows import TokenRows
from depo_lightning.errors import DataError
from depo_lightning.modules.passes import Compute
from depo_lightning.modules.scoring import score

if TYPE_CHECKING:
    from depo_lightning.data.preference import PreferenceData


@dataclass(frozen=True, slots=True)
class ReferenceLogps:
    """log π_ref of every step and every mismatched completion, in nats, by trajectory id."""

    steps: dict[str, list[float]]
    pairs: dict[str, list[float]]
    fingerprint: str

    def check(self, fingerprint: str) -> None:
        """Raise a DataError unless these log-probabilities belong to the data with this fingerprint."""
        if self.fingerprint != fingerprint:
            raise DataError(
                f"reference log-probabilities: made for data {self.fingerprint[:12]}, but the data is "
                f"{fingerprint[:12]}; run the reference stage again for these trajectories and this seed"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON; floats keep all their digits."""
        Path(path).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ReferenceLogps:
        """Read what `save` wrote.

        Raises:
            DataError: the file cannot be read or holds something else.
        """
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{path}: not a file of reference log-probabilities: {error}") from error


def compute_reference(
    model: nn.Module,
    data: PreferenceData,
    batch_tokens: int,
    progress: Callable[[int], None] = lambda done: None,
    packing: Packing | None = None,
) -> ReferenceLogps:
    """Score every step and every mismatched pair of `data` with the reference policy.

    Args:
        model: the reference, a causal LM.
        data: trajectories and pairs.
        batch_tokens: most tokens in a batch, padding included.
        progress: called after each batch with the number of log-probabilities it gave; there are
            `data.steps.counts.sum() + len(data.pairs)` in all.
        packing: share equal prefixes within a batch; None pads every trajectory out on its own.
    """
    if packing is None:
        steps = _score_rows(model, data.steps, batch_tokens, progress)
        pairs = [np.concatenate(own) for own in _grouped(_score_rows(model, data.pairs, batch_tokens, progress), data)]
    else:
        steps, pairs = _score_packed(model, data, packing, batch_tokens, progress)
    return ReferenceLogps(
        steps={sample.id: values.tolist() for sample, values in zip(data.samples, steps, strict=True)},
        pairs={sample.id: values.tolist() for sample, values in zip(data.samples, pairs, strict=True)},
        fingerprint=data.fingerprint(),
    )


def _grouped(values: list[np.ndarray], data: PreferenceData) -> Iterator[list[np.ndarray]]:
    """The values of each trajectory's pairs."""
    for start in range(0, len(values), data.kl_pairs):
        yield values[start : start + data.kl_pairs]


def _score_packed(
    model: nn.Module, data: PreferenceData, packing: Packing, batch_tokens: int, progress: Callable[[int], None]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Log-probabilities of the steps and of the mismatched completions of each trajectory."""
    order = np.argsort([sample.task for sample in data.samples], kind="stable")  # trees stay together
    filled = np.cumsum(data.steps.lengths[order]) // batch_tokens
    plan = np.split(order, np.flatnonzero(np.diff(filled)) + 1)
    batches = (data.steps.packed(indices, packing, data.branches(indices)) for indices in plan)
    scores = score(model, batches, progress, Compute(packing.threads))
    steps, pairs = ([np.empty(0)] * len(data.samples) for _ in range(2))
    for indices, (segments, branches) in zip(plan, scores, strict=True):
        _spread(steps, indices, segments, data.steps.counts[indices])
        _spread(pairs, indices, branches, np.full(len(indices), data.kl_pairs))
    return steps, pairs


def _score_rows(
    model: nn.Module, rows: TokenRows, batch_tokens: int, progress: Callable[[int], None]
) -> list[np.ndarray]:
    """Log-probabilities of the segments of each row, in the order of rows."""
    plan = bucketed(rows.lengths, batch_tokens, np.random.default_rng(0))
    scores = score(model, (rows.batch(indices) for indices in plan), progress)
    result: list[np.ndarray] = [np.empty(0)] * len(rows)
    for indices, (values, _) in zip(plan, scores, strict=True):
        _spread(result, indices, values, rows.counts[indices])
    return result


def _spread(result: list[np.ndarray], indices: np.ndarray, values: Tensor, counts: np.ndarray) -> None:
    """Put each row's share of the values in its place."""
    parts = np.split(values.double().numpy(), np.cumsum(counts)[:-1])
    for index, part in zip(indices.tolist(), parts, strict=True):
        result[index] = part
