"""The crossed bootstrap against loops over its own draws, against theory, and against plain means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depo_lightning.evaluation.crossed import CONTRASTS, Bootstrap, contrasts, estimates, panel, resampled
from depo_lightning.evaluation.episode_table import EpisodeRow
from depo_lightning.evaluation.metrics import summarise
from depo_lightning.evaluation.paired import paired_difference
from depo_lightning.trajectory import Status

FINISHED, CRASHED = Status.FINISHED, Status.CRASHED


def rows(tasks: int, seed: int, crashed: tuple[int, ...] = ()) -> list[EpisodeRow]:
    rng = np.random.default_rng(seed)
    made = []
    for task in range(tasks):
        won, steps = int(rng.random() < 0.6), int(rng.integers(1, 6))
        status = CRASHED if task in crashed else FINISHED
        tokens = int(rng.integers(5, 60)) * steps
        made.append(EpisodeRow("babyai", task, status, won, won * 0.9, tokens, steps, int(rng.integers(0, 2))))
    return made


def names(tasks: int) -> list[tuple[str, int]]:
    return [("babyai", task) for task in range(tasks)]


def copies(by_seed, bootstrap, r, tasks):
    """The episodes of resample r, each as often as its seed and its task were drawn."""
    counts = zip(by_seed.values(), bootstrap.seed_counts(len(by_seed))[r], strict=True)
    drawn = dict(zip(names(tasks), bootstrap.task_counts[r], strict=True))
    return [row for played, m in counts for row in played for _ in range(int(m) * int(drawn[row.env, row.task]))]


def test_resamples_are_what_a_loop_over_the_draws_gives():
    by_seed = {0: rows(6, 1, crashed=(2,)), 1: rows(6, 2), 4: rows(6, 3)}
    bootstrap = Bootstrap(6, resamples=40, seed=7)
    found = resampled(panel(by_seed, names(6)), bootstrap)
    for r in range(40):
        ran = [row for row in copies(by_seed, bootstrap, r, 6) if row.status is FINISHED]
        tokens, wins = sum(row.tokens for row in ran), sum(row.success for row in ran)
        assert found["success_rate"][r] == pytest.approx(wins / len(ran))
        assert found["tokens_all"][r] == pytest.approx(tokens / len(ran))
        assert found["tokens_per_step"][r] == pytest.approx(tokens / sum(row.steps for row in ran))
        if wins:
            won = sum(row.tokens for row in ran if row.success)
            assert found["tokens_success"][r] == pytest.approx(won / wins)
        else:
            assert math.isnan(found["tokens_success"][r])


def test_contrasts_are_what_a_loop_over_the_draws_gives():
    ours = {0: rows(7, 1, crashed=(2,)), 1: rows(7, 2)}
    theirs = {0: rows(7, 11), 1: rows(7, 12, crashed=(5,)), 2: rows(7, 13)}  # seed 2 has no partner
    bootstrap = Bootstrap(7, resamples=60, seed=3)
    found = contrasts(panel(ours, names(7)), panel(theirs, names(7)), bootstrap)
    gains, percents = [], []
    for r in range(60):
        seeds, tasks = bootstrap.seed_counts(2)[r], bootstrap.task_counts[r]
        pairs = [
            (ours[s][t], theirs[s][t])
            for s in (0, 1)
            for t in range(7)
            for _ in range(int(seeds[s]) * int(tasks[t]))
            if ours[s][t].status is FINISHED and theirs[s][t].status is FINISHED
        ]
        gains.append(np.mean([a.tokens - b.tokens for a, b in pairs]))
        percents.append(100 * (sum(a.tokens for a, _ in pairs) / sum(b.tokens for _, b in pairs) - 1))
    for name, draws in (("tokens", gains), ("tokens_percent", percents)):  # Student's interval may be wider
        low, high = np.quantile(draws, [0.025, 0.975])
        assert found[name].low <= low + 1e-9
        assert found[name].high >= high - 1e-9
    one = contrasts(panel({0: ours[0]}, names(7)), panel({0: theirs[0]}, names(7)), bootstrap)["tokens"]
    played = [t for t in range(7) if t != 2]
    alone = [
        np.average([ours[0][t].tokens - theirs[0][t].tokens for t in played], weights=bootstrap.task_counts[r][played])
        for r in range(60)
    ]
    assert (one.low, one.high) == pytest.approx(np.quantile(alone, [0.025, 0.975]))  # one seed: the bootstrap's
    assert (found["tokens"].tasks, found["tokens"].seeds) == (7, 2)


def test_means_are_those_of_the_episodes(episodes):
    played = episodes(30, 5)
    one = panel({0: [EpisodeRow.of(e) for e in played]}, names(30))
    found, expected = estimates(one, Bootstrap(30)), summarise(played).metrics
    for name, estimate in expected.items():
        assert found[name].mean == pytest.approx(estimate.mean), name
        assert found[name].n == estimate.n, name
        assert found[name].se == pytest.approx(estimate.se, rel=0.15), name  # one seed: the bootstrap over tasks


def test_with_one_seed_intervals_are_those_over_tasks(episodes):
    ours, theirs = episodes(80, 1), episodes(80, 2, scale=60)
    panels = [panel({0: [EpisodeRow.of(e) for e in played]}, names(80)) for played in (ours, theirs)]
    found, expected = contrasts(*panels, Bootstrap(80)), paired_difference(ours, theirs, seed=0)
    for name in CONTRASTS:
        width = expected[name].high - expected[name].low
        assert found[name].mean == pytest.approx(expected[name].mean)
        assert found[name].low == pytest.approx(expected[name].low, abs=0.1 * width)
        assert found[name].high == pytest.approx(expected[name].high, abs=0.1 * width)


def test_the_variance_is_that_of_two_crossed_random_effects():
    """Owen's theorem: σ²_seed / S + σ²_task / T + 3 σ²_cell / (S·T), for many seeds and tasks."""
    rng, seeds, tasks = np.random.default_rng(0), 60, 80
    noise = (
        2.0 * rng.normal(size=(seeds, 1)) + 3.0 * rng.normal(size=(1, tasks)) + 4.0 * rng.normal(size=(seeds, tasks))
    )
    by_seed = {
        s: [EpisodeRow("babyai", t, FINISHED, 0, 100 + noise[s, t], 1, 1, 0) for t in range(tasks)]
        for s in range(seeds)
    }
    found = estimates(panel(by_seed, names(tasks)), Bootstrap(tasks))["mean_reward"]
    effects = noise - noise.mean()
    of_seed, of_task = effects.mean(axis=1), effects.mean(axis=0)
    rest = effects - of_seed[:, None] - of_task
    expected = of_seed.var() / seeds + of_task.var() / tasks + rest.var() / (seeds * tasks)
    assert found.se**2 == pytest.approx(expected, rel=0.08)
    assert found.se**2 == pytest.approx(4 / seeds + 9 / tasks + 3 * 16 / (seeds * tasks), rel=0.5)


@pytest.mark.parametrize(("effect", "sure"), [(0.0, False), (90.0, True)])
def test_stars_tell_effects_from_noise(effect, sure):
    """Without an effect about one comparison of twenty is starred, and hardly one after the correction."""
    stars, corrected = 0, 0
    for trial in range(40):
        rng = np.random.default_rng(trial)
        tokens = {side: (200 + 30 * rng.normal(size=(4, 50)) + (side == 0) * effect).astype(int) for side in (0, 1)}
        sides = [
            panel(
                {
                    s: [EpisodeRow("b", t, FINISHED, 1, 1.0, int(tokens[side][s, t]), 1, 0) for t in range(50)]
                    for s in range(4)
                },
                [("b", t) for t in range(50)],
            )
            for side in (0, 1)
        ]
        found = contrasts(*sides, Bootstrap(50, resamples=800, seed=trial), comparisons=20)["tokens"]
        stars += found.resolved
        corrected += found.resolved_all
    assert (stars, corrected) == (40, 40) if sure else stars <= 6 and corrected <= 1


def test_intervals_of_two_seeds_cover_what_they_should():
    """Where policies differ by their seeds alone; the bootstrap by itself covers half of the time."""
    bootstrap, tasks, covered = Bootstrap(40, resamples=400), [("b", t) for t in range(40)], 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        levels = 200 + 30 * rng.normal(size=(2, 2, 1)) + 5 * rng.normal(size=(2, 2, 40))
        sides = [
            panel(
                {s: [EpisodeRow("b", t, FINISHED, 1, 1.0, int(level[s, t]), 1, 0) for t in range(40)] for s in (0, 1)},
                tasks,
            )
            for level in levels
        ]
        covered += not contrasts(*sides, bootstrap)["tokens"].resolved
    assert covered >= 0.91 * 200


def test_corrected_intervals_hold_the_plain_ones():
    a, b = (panel({0: rows(40, seed)}, names(40)) for seed in (1, 2))
    found = contrasts(a, b, Bootstrap(40), comparisons=12)["tokens"]
    assert found.low_all < found.low < found.mean < found.high < found.high_all
    alone = contrasts(a, b, Bootstrap(40), comparisons=1)["tokens"]
    assert (alone.low_all, alone.high_all) == (alone.low, alone.high) == (found.low, found.high)


def test_what_is_undefined_has_no_interval():
    one = panel({0: rows(1, 1)}, names(1))
    assert math.isnan(contrasts(one, one, Bootstrap(1))["tokens"].low)  # one task: nothing to resample
    a, b = panel({0: rows(5, 1)}, names(5)), panel({1: rows(5, 2)}, names(5))
    assert contrasts(a, b, Bootstrap(5)) == {}  # no common seed
    gone = panel({0: rows(5, 1, crashed=(0, 1, 2, 3, 4))}, names(5))
    lost = contrasts(gone, a, Bootstrap(5))["success"]
    assert math.isnan(lost.mean)
    assert not lost.resolved
    assert lost.to_json()["mean"] is None
    same = contrasts(a, a, Bootstrap(5))["tokens"]
    assert (same.mean, same.low, same.high, same.resolved) == (0, 0, 0, False)


def test_seeds_that_a_panel_lacks_are_empty():
    both = panel({3: rows(4, 1), 5: rows(4, 2)}, names(4)).over([5, 9, 3])
    assert both.sums[0].sum(axis=1).tolist() == [4, 0, 4]
    assert not both.intact[1].any()
    assert both.over([3]).sums[3].tolist() == panel({3: rows(4, 1)}, names(4)).sums[3].tolist()


def test_the_same_seed_gives_the_same_numbers():
    p, q = (panel({0: rows(20, seed), 1: rows(20, seed + 9)}, names(20)) for seed in (1, 2))
    assert contrasts(p, q, Bootstrap(20, seed=4)) == contrasts(p, q, Bootstrap(20, seed=4))
    assert contrasts(p, q, Bootstrap(20, seed=4)) != contrasts(p, q, Bootstrap(20, seed=5))
    assert (Bootstrap(20, seed=4).task_counts != Bootstrap(20, seed=5).task_counts).any()
    counts = Bootstrap(20, resamples=1500, seed=4).task_counts
    assert set(counts.sum(axis=1)) == {20}
    assert len({tuple(row) for row in counts}) > 1490
