"""Preference batches: samples of both units, mismatched pairs, and the reference that belongs to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from depo_lightning.agents.chat import Encoded
from depo_lightning.choices import Grouping
from depo_lightning.data import PreferenceData, PreferenceDataModule, PreferenceSample, ReferenceLogps, Unit
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.trajectory import Label, Step, Trajectory

#                                 u  A  A  u  A            u  u  A             u  A  u  A  A  A
A = PreferenceSample("a", [10, 1, 2, 11, 3], [(1, 3), (4, 5)], True, "env/1")
B = PreferenceSample("b", [20, 21, 4], [(2, 3)], False, "env/2")
C = PreferenceSample("c", [30, 5, 31, 6, 7, 8], [(1, 2), (3, 6)], False, "env/1")


def reference(data: PreferenceData) -> ReferenceLogps:
    """Made-up values that tell where they come from."""
    return ReferenceLogps(
        steps={s.id: [-(10.0 * i + j + 1) for j in range(s.t_step)] for i, s in enumerate(data.samples)},
        pairs={s.id: [-(100.0 * i + k) for k in range(data.kl_pairs)] for i, s in enumerate(data.samples)},
        fingerprint=data.fingerprint(),
    )


def module(unit: Unit, kl_pairs: int = 2) -> PreferenceDataModule:
    data = PreferenceData([A, B, C], kl_pairs=kl_pairs, seed=0)
    return PreferenceDataModule(data, reference(data), unit, batch_size=3, seed=0)


def test_each_step_is_a_sample_with_its_trajectory_s_efficiency() -> None:
    batch = module(Unit.step).dataset[np.array([2, 0])]
    assert batch.sequences.segments.tolist() == [[-1, 0, -1, 1, 1, 1], [-1, 2, 2, -1, 3, -1]]
    assert batch.desirable.tolist() == [False, False, True, True]
    assert batch.ref_logps.tolist() == [-21.0, -22.0, -1.0, -2.0]
    assert batch.tokens_per_step.tolist() == [2.0, 2.0, 1.5, 1.5]
    assert batch.steps.tolist() == [2.0] * 4
    assert batch.sample_tokens.tolist() == [1.0, 3.0, 2.0, 1.0]
    assert batch.ref_kl_logps.tolist() == [-200.0, -201.0, 0.0, -1.0]


def test_a_trajectory_is_one_sample_with_summed_reference() -> None:
    batch = module(Unit.trajectory).dataset[np.array([2, 1, 0])]
    assert batch.sequences.count == 3
    assert batch.ref_logps.tolist() == [-43.0, -11.0, -3.0]
    assert batch.sample_tokens.tolist() == [4.0, 1.0, 3.0]
    assert batch.tokens_per_step.tolist() == [2.0, 1.0, 1.5]
    assert batch.steps.tolist() == [2.0, 1.0, 2.0]


def test_mismatched_pairs_join_a_prompt_with_a_turn_of_another_task() -> None:
    data = PreferenceData([A, B, C], kl_pairs=20, seed=0)
    batch = data.pairs.batch(np.arange(60))
    by_id = {"a": {(4,)}, "b": {(1, 2), (3,), (5,), (6, 7, 8)}, "c": {(4,)}}
    prompts = {"a": {(10,), (10, 1, 2, 11)}, "b": {(20, 21)}, "c": {(30,), (30, 5, 31)}}
    for index, sample in enumerate(data.samples):
        rows = range(20 * index, 20 * index + 20)
        turns = {tuple(batch.input_ids[row][batch.segments[row] >= 0].tolist()) for row in rows}
        starts = {tuple(batch.input_ids[row][: int((batch.segments[row] >= 0).nonzero()[0])].tolist()) for row in rows}
        assert turns == by_id[sample.id]
        assert starts == prompts[sample.id]


def test_turns_come_from_every_sample_of_another_task_alike() -> None:
    tasks = [0, 1, 0, 2, 1, 0, 2]
    samples = [replace(B, id=str(i), input_ids=[1, 2, i], task=str(task)) for i, task in enumerate(tasks)]
    pairs = PreferenceData([*samples[:-1], replace(samples[-1], desirable=True)], kl_pairs=3000, seed=0).pairs
    donors = pairs.ids[pairs.segments >= 0].reshape(len(tasks), -1)
    for task, drawn in zip(tasks, donors, strict=True):
        allowed = [donor for donor, other in enumerate(tasks) if other != task]
        seen, counts = np.unique(drawn, return_counts=True)
        assert seen.tolist() == allowed
        assert counts == pytest.approx(3000 / len(allowed), rel=0.15)


def test_pairs_are_fixed_by_the_seed() -> None:
    def ids(seed: int) -> list[int]:
        return PreferenceData([A, B, C], kl_pairs=8, seed=seed).pairs.ids.tolist()

    assert ids(0) == ids(0) != ids(1)


def test_batches_hold_both_classes() -> None:
    samples = [replace(A, id=str(i), desirable=i % 3 == 0, task=f"env/{i}") for i in range(30)]
    data = PreferenceData(samples)
    loader = PreferenceDataModule(data, reference(data), Unit.step, batch_size=6, seed=0).train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == 5
    assert [sorted(set(batch.desirable.tolist())) for batch in batches] == [[False, True]] * 5


def test_reference_round_trips_with_all_digits(tmp_path: Path) -> None:
    data = PreferenceData([A, B, C])
    stored = replace(reference(data), steps={"a": [-1 / 3, torch.tensor(0.1).item()], "b": [-0.1], "c": [0.0, 1e-30]})
    stored.save(tmp_path / "reference.json")
    assert ReferenceLogps.load(tmp_path / "reference.json") == stored
    (tmp_path / "bad.json").write_text('{"steps": {}}')
    for name in ("bad.json", "absent.json"):
        with pytest.raises(DataError, match=name):
            ReferenceLogps.load(tmp_path / name)


@pytest.mark.parametrize("seed_or_token", ["seed", "token", "order"])
def test_a_reference_of_other_data_is_refused(seed_or_token: str) -> None:
    stored = reference(PreferenceData([A, B, C], kl_pairs=8, seed=0))
    other = {
        "seed": PreferenceData([A, B, C], kl_pairs=8, seed=1),
        "token": PreferenceData([replace(A, input_ids=[10, 1, 3, 11, 3]), B, C], kl_pairs=8, seed=0),
        "order": PreferenceData([B, A, C], kl_pairs=8, seed=0),
    }[seed_or_token]
    with pytest.raises(DataError, match="reference"):
        PreferenceDataModule(other, stored, Unit.step, batch_size=2, seed=0)


def test_what_cannot_be_trained_on_is_refused() -> None:
    with pytest.raises(DataError, match="0 desirable and 2 undesirable"):
        PreferenceData([B, C])
    with pytest.raises(DataError, match="0 desirable and 0 undesirable"):
        PreferenceData([])
    with pytest.raises(DataError, match="two different tasks"):
        PreferenceData([A, C])
    with pytest.raises(DataError, match="repeat"):
        PreferenceData([A, replace(B, id="a")])
    with pytest.raises(DataError, match="trajectory b"):
        PreferenceData([A, replace(B, spans=[(0, 3)])])
    with pytest.raises(ConfigError, match="kl_pairs=0"):
        PreferenceData([A, B], kl_pairs=0)
    data = PreferenceData([A, B])
    with pytest.raises(ConfigError, match="batch_size=1"):
        PreferenceDataModule(data, reference(data), Unit.step, batch_size=1, seed=0)


def test_samples_come_from_labelled_trajectories() -> None:
    steps = tuple(Step("look", "", "go", "go", tokens=n) for n in (2, 1))
    trajectory = Trajectory("a", "env", 1, 0, "", steps, 1.0, True, label=Label.DESIRABLE)
    sample = PreferenceSample.from_trajectory(trajectory, Encoded(A.input_ids, A.spans))
    assert sample == A
    assert (sample.t_token, sample.t_step) == (trajectory.t_token, trajectory.t_step)
    with pytest.raises(DataError, match="no label"):
        PreferenceSample.from_trajectory(replace(trajectory, label=None), Encoded(A.input_ids, A.spans))


def test_trajectories_of_a_task_meet_when_grouped() -> None:
    samples = [replace(A, id=str(i), desirable=i % 2 == 0, task=f"env/{i // 4}") for i in range(24)]
    data = PreferenceData(samples)
    for grouping, together in ((Grouping.tree, True), (Grouping.none, False)):
        module = PreferenceDataModule(data, reference(data), Unit.step, batch_size=4, seed=0, grouping=grouping)
        batches = module.plan(np.random.default_rng(0))
        assert len(module.train_dataloader()) == len(batches) == 6
        assert all(len({samples[row].task for row in batch}) == 1 for batch in batches) == together
