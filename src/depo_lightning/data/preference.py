"""Data for preference training: labelled trajectories, their samples, and mismatched pairs for z0."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.utils.data import Dataset

from depo_lightning.choices import Grouping, Unit
from depo_lightning.data.order import Share, share_of, stratified
from depo_lightning.data.packing import Branch, Packing
from depo_lightning.data.reference import ReferenceLogps
from depo_lightning.data.resumable import BatchesModule
from depo_lightning.data.rows import TokenRows, TokenSequence, check_spans, step_row, trajectory_row, trajectory_task
from depo_lightning.data.trees import find_trees, stratified_trees
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.modules.batches import PreferenceBatch, TokenBatch
from depo_lightning.modules.packed import PackedBatch
from depo_lightning.objectives.logps import NO_SEGMENT
from depo_lightning.trajectory import Label, Trajectory

SMALLEST_BATCH = 2
_HASHED = 2**16  # numbers at a time: hashed in 64 bits, held in 32


@dataclass(frozen=True, slots=True)
class PreferenceSample:
    """One labelled trajectory in tokens. `task` tells tasks apart: mismatched pairs join two different ones."""

    id: str
    input_ids: Sequence[int]
    spans: list[tuple[int, int]]
    desirable: bool
    task: str

    @classmethod
    def from_trajectory(cls, trajectory: Trajectory, encoded: TokenSequence) -> PreferenceSample:
        """Join a labelled trajectory and its rendering.

        Raises:
            DataError: the trajectory has no label.
        """
        if trajectory.label is None:
            raise DataError(f"trajectory {trajectory.id}: has no label; run the label stage, or leave it out")
        desirable = trajectory.label == Label.DESIRABLE
        return cls(trajectory.id, encoded.input_ids, encoded.spans, desirable, trajectory_task(trajectory))

    @property
    def t_step(self) -> int:
        """T_step(τ)."""
        return len(self.spans)

    @property
    def t_token(self) -> float:
        """T_token(τ), in the tokens that are trained on."""
        return sum(end - start for start, end in self.spans) / len(self.spans)


class PreferenceData:
    """Labelled trajectories as token rows, and the mismatched pairs that belong to them.

    A mismatched pair is the prompt of a random step of this trajectory, followed by a random turn of a trajectory of
    another task; `kl_pairs` for each trajectory. They are drawn once, so that the reference needs to score them once
    for all of a sweep. Both units use single turns: a whole foreign episode would carry observations that answer
    other actions, so with unit `trajectory` z0 is that of a turn, a lower reference point than an episode's.

    Args:
        samples: labelled trajectories with distinct ids.
        kl_pairs: mismatched pairs per trajectory, 1 or more.
        seed: seed of the pairs.

    Raises:
        ConfigError: `kl_pairs` below 1.
        DataError: faulty spans, repeated ids, a class that is missing, or no two different tasks.
    """

    def __init__(self, samples: Sequence[PreferenceSample], kl_pairs: int = 1, seed: int = 0) -> None:
        if kl_pairs < 1:
            raise ConfigError(f"depo.kl_pairs={kl_pairs}: must be 1 or more; z0 is estimated from these pairs")
        _check_samples(samples)
        self.samples = list(samples)
        self.kl_pairs = kl_pairs
        self.desirable = np.array([sample.desirable for sample in samples])
        self.steps = TokenRows(step_row(sample) for sample in samples)
        self.pairs = TokenRows(_mismatched(self.samples, kl_pairs, np.random.default_rng(seed)))  # row i·kl_pairs + k

    def branches(self, indices: np.ndarray) -> list[Branch]:
        """The mismatched completions of the trajectories `indices`, as branches of these."""
        found = []
        for place, index in enumerate(indices.tolist()):
            for pair in range(index * self.kl_pairs, (index + 1) * self.kl_pairs):
                ids, segments = self.pairs.row(pair)
                start = int(np.argmax(segments != NO_SEGMENT))
                found.append(Branch(place, start, ids[start:]))
        return found

    def rows(self, unit: Unit) -> TokenRows:
        """The trajectories' rows, cut into samples of `unit`."""
        if Unit(unit) is Unit.step:
            return self.steps
        return TokenRows(trajectory_row(sample) for sample in self.samples)

    def fingerprint(self) -> str:
        """Hash of all ids, tokens and segments: reference log-probabilities belong to exactly these."""
        digest = hashlib.sha256("\n".join(sample.id for sample in self.samples).encode())
        for rows in (self.steps, self.pairs):
            for values in (rows.lengths, rows.ids, rows.segments):
                for start in range(0, len(values), _HASHED):
                    digest.update(values[start : start + _HASHED].astype(np.int64).tobytes())
        return digest.hexdigest()


class PreferenceDataset(Dataset[PreferenceBatch]):
    """Trajectories with their reference log-probabilities; an item is a batch, or a part, by indices."""

    def __init__(
        self, data: PreferenceData, reference: ReferenceLogps, unit: Unit, packing: Packing | None = None
    ) -> None:
        reference.check(data.fingerprint())
        self.data = data
        self.packing = packing
        self.rows = data.rows(unit)
        steps = [np.asarray(reference.steps[sample.id]) for sample in data.samples]
        per_sample = steps if unit == Unit.step else [values.sum(keepdims=True) for values in steps]
        self.ref_logps = np.concatenate(per_sample).astype(np.float32)
        self.ref_kl_logps = np.array([reference.pairs[sample.id] for sample in data.samples], dtype=np.float32)
        self.first = np.cumsum(self.rows.counts) - self.rows.counts
        self.t_token = np.array([sample.t_token for sample in data.samples], dtype=np.float32)
        self.t_step = np.array([sample.t_step for sample in data.samples], dtype=np.float32)
        inside = self.rows.segments != NO_SEGMENT
        sample_of_token = (self.rows.segments + np.repeat(self.first, self.rows.lengths))[inside]
        self.sample_tokens = np.bincount(sample_of_token).astype(np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: np.ndarray | Share) -> PreferenceBatch:
        share = share_of(wanted)
        indices = share.rows
        counts = self.rows.counts[indices]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        samples = np.repeat(self.first[indices], counts) + within
        own = share.own if share.turn == 0 else ()
        paired = np.concatenate([indices[:0], *own])
        sequences: TokenBatch | PackedBatch
        if self.packing is not None and share.alone:
            sequences, mismatched = self.rows.packed(indices, self.packing, self.data.branches(paired)), []
        else:
            sequences = self.rows.sequences(indices, self.packing)
            mismatched = [self._mismatched(rows if len(rows) else indices) for rows in own]
        return PreferenceBatch(
            sequences=sequences,
            mismatched=mismatched,
            ref_logps=torch.from_numpy(self.ref_logps[samples]),
            ref_kl_logps=torch.from_numpy(self.ref_kl_logps[paired].ravel()),
            desirable=torch.from_numpy(np.repeat(self.data.desirable[indices], counts)),
            tokens_per_step=torch.from_numpy(np.repeat(self.t_token[indices], counts)),
            steps=torch.from_numpy(np.repeat(self.t_step[indices], counts)),
            sample_tokens=torch.from_numpy(self.sample_tokens[samples]),
            part=share.part(self.rows.counts),
        )

    def _mismatched(self, indices: np.ndarray) -> TokenBatch | PackedBatch:
        """The mismatched pairs of these trajectories."""
        pairs = (indices[:, None] * self.data.kl_pairs + np.arange(self.data.kl_pairs)).ravel()
        return self.data.pairs.sequences(pairs, self.packing)


class PreferenceDataModule(BatchesModule):
    """Batches of whole trajectories in which D and U keep their proportion, shuffled anew in every epoch.

    Args:
        data: trajectories and mismatched pairs.
        reference: log-probabilities of the reference policy for exactly this data.
        unit: what one sample is.
        batch_size: most trajectories in a batch, 2 or more; sizes differ by at most one.
        seed: seed of the order of batches.
        packing: share equal prefixes within a batch; None pads every trajectory out on its own.
        grouping: whether the trajectories of a task meet in a batch.

    Raises:
        ConfigError: `batch_size` below 2. DataError: a reference that belongs to other data.
    """

    def __init__(
        self,
        data: PreferenceData,
        reference: ReferenceLogps,
        unit: Unit,
        batch_size: int,
        seed: int,
        packing: Packing | None = None,
        grouping: Grouping = Grouping.none,
    ) -> None:
        super().__init__()
        if batch_size < SMALLEST_BATCH:
            raise ConfigError(
                f"depo.batch_size={batch_size}: must be 2 or more, so that a batch can hold both classes and z0 is "
                "not estimated from one trajectory"
            )
        self.dataset = PreferenceDataset(data, reference, unit, packing)
        self.seed = seed
        self.plan = partial(stratified, data.desirable, batch_size)
        if grouping is Grouping.tree:
            trees = find_trees([sample.task for sample in data.samples], data.steps)
            self.plan = partial(stratified_trees, trees, data.desirable, batch_size)


def _check_samples(samples: Sequence[PreferenceSample]) -> None:
    desirable = sum(sample.desirable for sample in samples)
    faults = []
    if desirable == 0 or desirable == len(samples):
        faults.append(
            f"preference data: {desirable} desirable and {len(samples) - desirable} undesirable trajectories; "
            "both are needed; change the thresholds or collect more"
        )
    if len(samples) > 0 and len({sample.task for sample in samples}) == 1:
        faults.append(f"preference data: all of task {samples[0].task!r}; mismatched pairs need two different tasks")
    if len({sample.id for sample in samples}) < len(samples):
        faults.append("preference data: trajectory ids repeat; each must be distinct")
    if faults:
        raise DataError(faults)
    check_spans([(f"trajectory {sample.id}", sample) for sample in samples])


def _mismatched(
    samples: Sequence[PreferenceSample], kl_pairs: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of (prompt of a step of x, turn of another task), `kl_pairs` for each trajectory in turn."""
    _, task = np.unique([sample.task for sample in samples], return_inverse=True)
    order = np.argsort(task, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(task))[:-1])  # of each task, rising
    strangers_before = [group - np.arange(len(group)) for group in groups]
    for index, sample in enumerate(samples):
        own = strangers_before[task[index]]
        # The n-th sample of other tasks is the n-th of all, and one further for each own sample that stands before it.
        drawn = rng.integers(len(samples) - len(own), size=kl_pairs)
        for other in drawn + np.searchsorted(own, drawn, side="right"):
            donor = samples[other]
            start = sample.spans[rng.integers(len(sample.spans))][0]
            turn = donor.spans[rng.integers(len(donor.spans))]
            ids = np.concatenate([sample.input_ids[:start], donor.input_ids[slice(*turn)]])
            yield ids, np.where(np.arange(len(ids)) >= start, 0, NO_SEGMENT)
