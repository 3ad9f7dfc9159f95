from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from depo_lightning.errors import ConfigError
from depo_lightning.evaluation.crossed import CONTRASTS, Bootstrap
from depo_lightning.sweeps.configurations import all_tasks, configurations
from depo_lightning.sweeps.differences import front_shares
from depo_lightning.sweeps.formats import to_json
from depo_lightning.sweeps.points import collect_points
from depo_lightning.sweeps.report import build_report
from depo_lightning.sweeps.table import contrast_cell, difference_cells, markdown

OBJECTIVES = {"success_rate": "maximize", "tokens_all": "minimize"}


@pytest.fixture
def many(tmp_path, played):
    """Five strengths, of which only the last is much cheaper; not in order of their values."""
    for job, alpha in enumerate((2, 0, 1, 3, 4)):
        played(tmp_path, job, [f"alpha1={alpha}"], success=0.7, tokens=12 if alpha == 4 else 25)
    return tmp_path


def test_every_configuration_against_the_bc_of_its_seeds(seeds):
    table = build_report(seeds, None, OBJECTIVES).differences[0]
    assert table.title == "difference to BC"
    assert [row.point for row in table.rows] == [0, 1, 2]
    assert [row.seeds for row in table.rows] == [3, 3, 2]
    assert table.comparisons == 3 * len(CONTRASTS)
    assert table.rows[2].contrasts["tokens_percent"].mean < -20  # 20 tokens a turn instead of 30
    assert not table.rows[2].contrasts["tokens_percent"].resolved_all  # but of two seeds only
    assert not table.rows[0].contrasts["success"].resolved  # both succeed in 0.6


def test_up_to_four_configurations_are_compared_in_pairs(seeds):
    table = build_report(seeds, None, OBJECTIVES).differences[1]
    assert [(row.point, row.other) for row in table.rows] == [(1, 0), (2, 0), (2, 1)]
    assert [row.seeds for row in table.rows] == [3, 2, 2]  # seed 2 has no partner in the last configuration
    assert table.labels == ["1 − 0", "2 − 0", "2 − 1"]
    assert table.comparisons == 3 * len(CONTRASTS)
    assert "2 to 3 common seeds" in table.note
    assert f"all {table.comparisons} comparisons" in table.note


def test_more_configurations_are_compared_with_the_first_by_value(many):
    table = build_report(many, None, OBJECTIVES).differences[1]
    assert table.title == "difference to α1 = 0"
    assert [(row.label, row.other) for row in table.rows] == [(f"α1 = {n}", 1) for n in (1, 2, 3, 4)]
    assert [row.contrasts["tokens"].resolved_all for row in table.rows] == [False, False, False, True]
    assert table.note.startswith("Paired over tasks; 95 % bootstrap intervals.")


def test_the_reference_can_be_chosen(many):
    table = build_report(many, None, OBJECTIVES, {"alpha1": 4}).differences[1]
    assert table.title == "difference to α1 = 4"
    assert all(row.contrasts["tokens"].low_all > 0 for row in table.rows)


@pytest.mark.parametrize(("wanted", "words"), [({"alpha1": 9}, "no such configuration"), ({}, "5 fit")])
def test_a_wrong_reference_is_a_configuration_error(many, wanted, words):
    with pytest.raises(ConfigError, match=f"{words}; name one of: alpha1=2; alpha1=0"):
        build_report(many, None, OBJECTIVES, wanted)


def test_without_bc_there_are_differences_among_configurations_only(many):
    report = build_report(many, "bc", OBJECTIVES)  # BC itself is compared: the same in all jobs
    assert report.differences[0].note == "No differences: BC is what is compared."
    assert all(row.contrasts["tokens"].mean == 0 for row in report.differences[1].rows)
    assert report.front == [0, 1, 2, 3, 4]
    assert report.front_share == [1.0] * 5  # equal ones share every front


def test_shares_of_the_front_tell_sure_places_from_lucky_ones(many):
    report = build_report(many, None, OBJECTIVES)
    assert report.front_share[4] == 1.0  # far cheaper than all others, in every resample
    assert all(share < 1 for share in report.front_share[:4])
    assert to_json(report)["points"][4]["front_share"] == 1.0


def test_tables_mark_what_is_larger_than_noise(many):
    report = build_report(many, None, OBJECTIVES)
    header, rows = difference_cells(report.differences[1], ("tokens",))
    assert header == ["difference to α1 = 0", "T@All"]
    assert [("**" in row[1]) for row in rows] == [False, False, False, True]
    cell = contrast_cell(report.differences[1].rows[3].contrasts["tokens"], 1)
    found = report.differences[1].rows[3].contrasts["tokens"]
    assert cell == f"{found.mean:+.1f} ** [{found.low:+.1f}, {found.high:+.1f}]"
    assert "| α1 = 4 |" in markdown(report)
    data = to_json(report)["differences"]
    assert data[1]["rows"][3]["differences"]["tokens"]["resolved_all"] is True
    assert data[1]["rows"][3]["point"] == 4


def test_crashed_episodes_are_in_no_difference(tmp_path, played):
    played(tmp_path, 0, ["alpha1=0"], tasks=30, crashed=(3, 4))
    played(tmp_path, 1, ["alpha1=1"], tasks=30, crashed=(4, 5))
    to_bc, pair = build_report(tmp_path, None, OBJECTIVES).differences
    assert [row.contrasts["tokens"].tasks for row in to_bc.rows] == [28, 28]
    assert pair.rows[0].contrasts["tokens"].tasks == 27


def test_configurations_without_a_common_seed_are_not_compared(tmp_path, played):
    played(tmp_path, 0, ["alpha1=0", "seed=0"], seed=0)
    played(tmp_path, 1, ["alpha1=1", "seed=1"], seed=1)
    to_bc, pair = build_report(tmp_path, None, OBJECTIVES).differences
    assert [row.seeds for row in to_bc.rows] == [1, 1]
    assert pair.rows == []
    assert pair.note == "No differences: 1 pairs without a common seed."


def test_shares_are_what_a_loop_over_joint_resamples_gives(tmp_path, played):
    """Three configurations of like strength, one of them without seed 1."""
    for job, (alpha, seed) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]):
        played(tmp_path, job, [f"alpha1={alpha}", f"seed={seed}"], seed=seed, tasks=12)
    jobs = collect_points(tmp_path)
    tasks = all_tasks(jobs)
    bootstrap = Bootstrap(len(tasks), resamples=200)
    points = [replace(point, partial=False) for point in configurations(jobs, bootstrap, tasks)]  # seeds as they are
    places = {task: t for t, task in enumerate(tasks)}
    hits, counted = [0, 0, 0], [0, 0, 0]
    for r in range(200):
        weight = {seed: bootstrap.seed_counts(2)[r][seed] for seed in (0, 1)}
        values = []
        for point in points:
            sums = np.zeros(3)
            for job in point.jobs:
                for e in job.episodes["depo"]:
                    times = int(weight[job.seed]) * int(bootstrap.task_counts[r][places[e.env, e.task]])
                    sums += times * np.array([1, e.success, e.tokens])
            values.append((sums[1] / sums[0], sums[2] / sums[0]) if sums[0] else (np.nan, np.nan))
        for i, (success, tokens) in enumerate(values):
            beaten = any(s >= success and t <= tokens and (s, t) != (success, tokens) for s, t in values)
            counted[i] += bool(np.isfinite(success))
            hits[i] += bool(np.isfinite(success)) and not beaten
    assert counted[0] == 200 > counted[2] > 100  # a quarter of the draws leaves the last without a seed
    assert front_shares(points, OBJECTIVES, bootstrap) == pytest.approx(
        [h / n for h, n in zip(hits, counted, strict=True)]
    )
