"""Masks and padding on hand-written token rows."""

from __future__ import annotations

import numpy as np
import pytest

from depo_lightning.agents.chat import Encoded
from depo_lightning.data import SftDataModule, TokenRows
from depo_lightning.data.rows import step_row, trajectory_row
from depo_lightning.errors import ConfigError, DataError

#                     u  u  A  A  u  A  A  A
LONG = Encoded([9, 8, 1, 2, 7, 3, 4, 5], [(2, 4), (5, 8)])
SHORT = Encoded([9, 6, 2], [(2, 3)])


def test_steps_become_segments_numbered_through_the_batch() -> None:
    rows = TokenRows([step_row(LONG), step_row(SHORT)])
    batch = rows.batch([1, 0, 1])
    assert batch.input_ids.tolist() == [
        [9, 6, 2, 0, 0, 0, 0, 0],
        [9, 8, 1, 2, 7, 3, 4, 5],
        [9, 6, 2, 0, 0, 0, 0, 0],
    ]
    assert batch.segments.tolist() == [
        [-1, -1, 0, -1, -1, -1, -1, -1],
        [-1, -1, 1, 1, -1, 2, 2, 2],
        [-1, -1, 3, -1, -1, -1, -1, -1],
    ]
    assert batch.count == 4


def test_a_trajectory_is_one_segment() -> None:
    batch = TokenRows([trajectory_row(LONG), trajectory_row(SHORT)]).batch([0, 1])
    assert batch.segments.tolist() == [[-1, -1, 0, 0, -1, 0, 0, 0], [-1, -1, 1, -1, -1, -1, -1, -1]]
    assert batch.count == 2


def test_a_batch_is_no_wider_than_its_longest_row() -> None:
    assert TokenRows([step_row(LONG), step_row(SHORT)]).batch([1]).input_ids.tolist() == [[9, 6, 2]]


@pytest.mark.parametrize(
    "spans", [[], [(0, 2)], [(2, 2)], [(5, 8), (2, 4)], [(2, 5), (4, 6)], [(2, 9)]], ids=lambda spans: str(spans)
)
def test_faulty_spans_are_named(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(DataError, match="conversation 1"):
        SftDataModule([SHORT, Encoded(LONG.input_ids, spans)], batch_tokens=100, seed=0)


def test_sft_learns_agent_turns_only_and_needs_data() -> None:
    module = SftDataModule([LONG, SHORT], batch_tokens=16, seed=0)
    (batch,) = list(module.train_dataloader())
    learned = {tuple(row.tolist()) for row in (batch.segments >= 0).long() * batch.input_ids}
    assert learned == {(0, 0, 1, 2, 0, 3, 4, 5), (0, 0, 2, 0, 0, 0, 0, 0)}
    with pytest.raises(DataError):
        SftDataModule([], batch_tokens=16, seed=0)
    with pytest.raises(ConfigError, match="batch_tokens=0"):
        SftDataModule([LONG], batch_tokens=0, seed=0)


def test_the_cost_of_a_row_does_not_depend_on_its_neighbours() -> None:
    rows = TokenRows([step_row(LONG), step_row(SHORT)] * 50)
    batch = rows.batch(np.arange(100))
    assert [int((row >= 0).sum()) for row in batch.segments] == [5, 1] * 50
