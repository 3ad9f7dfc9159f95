import pytest

from depo_lightning.collect.labelling import Caps, label_absolute, label_relative, select_filtered
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.trajectory import Label, Status

D, U = Label.DESIRABLE, Label.UNDESIRABLE


def verdicts(labelled):
    return {item.id: item.label for item in labelled}


def test_absolute_is_equation_3(episode):
    rewards = [1.0, 0.95, 0.949, 0.9, 0.899, 0.7, 0.699, 0.0]
    pool = [episode(reward, reward=reward) for reward in rewards]
    labelled, report = label_absolute(pool, kappa0=0.95, kappa1=0.9, kappa2=0.7)
    assert verdicts(labelled) == {"1.0": D, "0.95": D, "0.899": U, "0.7": U}
    assert [item.id for item in labelled] == ["1.0", "0.95", "0.899", "0.7"]
    assert (report.total, report.classes["desirable"].count, report.classes["undesirable"].count) == (8, 2, 2)


def test_the_step_cut_must_hold_too(episode):
    pool = [
        episode("good-6", reward=0.95, tokens=(1,) * 6),
        episode("good-7", reward=0.95, tokens=(1,) * 7),
        episode("poor-6", reward=0.8, tokens=(1,) * 6),
        episode("poor-7", reward=0.8, tokens=(1,) * 7),
    ]
    assert verdicts(label_absolute(pool, 0.9, 0.9, 0.7, step_cut=7)[0]) == {"good-6": D, "poor-7": U}
    assert len(label_absolute(pool, 0.9, 0.9, 0.7, step_cut=None)[0]) == 4


def test_crashed_episodes_have_no_label_and_failures_only_their_reward(episode):
    pool = [
        episode("won", reward=1.0),
        episode("crashed", reward=1.0, status=Status.CRASHED),
        episode("cut", reward=0.0, status=Status.TRUNCATED),
    ]
    labelled, report = label_absolute(pool, 0.9, 0.9, 0.0)
    assert verdicts(labelled) == {"won": D, "cut": U}
    assert report.crashed == 1


def test_an_empty_class_says_counts_and_remedy(episode):
    pool = [episode(i, reward=r) for i, r in enumerate([0.0, 0.1, 0.72, 0.8, 0.95, 1.0])]
    with pytest.raises(DataError) as caught:
        label_absolute(pool, 1.0, 0.5, 0.3)
    message = str(caught.value)
    assert "no undesirable episode among 6" in message
    for part in ("[0.0, 0.25): 2", "[0.25, 0.5): 0", "[0.7, 0.8): 1", "[0.8, 0.9): 1", "[0.9, 1.0): 1", "1.0: 1"):
        assert part in message
    assert "kappa" in message
    with pytest.raises(DataError, match="no desirable and no undesirable"):
        label_relative([episode(0)])


@pytest.mark.parametrize("kappas", [(0.9, 0.95, 0.7), (0.9, 0.6, 0.7), (1.1, 0.9, 0.7), (0.9, 0.8, -0.1)])
def test_bounds_out_of_order(episode, kappas):
    with pytest.raises(ConfigError, match="kappa2 <= kappa1 <= kappa0"):
        label_absolute([episode(0)], *kappas)


def test_relative_ranks_within_a_task(episode):
    """Task 1's dearest success costs less than task 0's cheapest; each is judged among its own."""
    pool = [
        episode("0-cheap", 0, (30, 30)),
        episode("0-mid", 0, (40, 40)),
        episode("0-dear", 0, (50, 50)),
        episode("1-dear", 1, (9,)),
        episode("1-mid", 1, (8,)),
        episode("1-cheap", 1, (7,)),
        episode("1-failed", 1, (1,), reward=0.0),
        episode("1-cut", 1, (1,), reward=0.0, status=Status.TRUNCATED),
        episode("1-crash", 1, (1,), reward=0.0, status=Status.CRASHED),
        episode("2-alone", 2, (1,)),
        episode("2-failed", 2, (1,), reward=0.0),
        episode("3-tie-a", 3, (5, 5)),
        episode("3-tie-b", 3, (10,)),
    ]
    labelled, _ = label_relative(pool)
    assert verdicts(labelled) == {
        "0-cheap": D, "0-dear": U, "1-cheap": D, "1-dear": U, "1-failed": U, "1-cut": U
    }  # fmt: skip
    assert len(label_relative(pool, include_failures=False)[0]) == 4
    assert verdicts(label_relative(pool, min_successes=1)[0])["2-failed"] is U
    by_steps = verdicts(label_relative(pool, token_weight=0.0, step_weight=1.0)[0])
    assert by_steps["3-tie-b"] is D
    assert by_steps["3-tie-a"] is U
    assert "0-cheap" not in by_steps


@pytest.mark.parametrize(("count", "each"), [(2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (9, 3)])
def test_a_third_of_each_end(episode, count, each):
    labelled, _ = label_relative([episode(i, tokens=(10 + i,)) for i in range(count)])
    assert [item.id for item in labelled if item.label is D] == [str(i) for i in range(each)]
    assert [item.id for item in labelled if item.label is U] == [str(i) for i in range(count - each, count)]


def test_without_a_tree_the_task_is_the_group(episode):
    pool = [episode(i, task=i // 2, tokens=(10 + i,), tree=False) for i in range(4)]
    assert verdicts(label_relative(pool)[0]) == {"0": D, "1": U, "2": D, "3": U}


def test_tokens_must_have_been_counted(episode):
    pool = [episode(i, tokens=(0,) * (i + 1)) for i in range(4)]
    with pytest.raises(DataError, match="token count"):
        label_relative(pool)
    assert len(label_relative(pool, token_weight=0, step_weight=1)[0]) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"desirable_fraction": 0.0},
        {"undesirable_fraction": 1.0},
        {"desirable_fraction": 0.6, "undesirable_fraction": 0.6},
        {"token_weight": -1.0},
        {"token_weight": 0.0},
        {"min_successes": 0},
    ],
)
def test_relative_settings_are_checked(episode, settings):
    with pytest.raises(ConfigError, match=r"thresholds"):
        label_relative([episode(0)], **settings)


def test_caps_take_a_seeded_sample(episode):
    pool = [episode(i, reward=1.0 if i < 30 else 0.8) for i in range(90)]

    def ids(caps, items=pool):
        labelled, _ = label_absolute(items, 0.9, 0.9, 0.7, caps=caps)
        return {item.id for item in labelled if item.label is D}, {item.id for item in labelled if item.label is U}

    d, u = ids(Caps(max_desirable=10, max_undesirable=20))
    assert (len(d), len(u)) == (10, 20)
    assert ids(Caps(10, 20), pool[::-1]) == (d, u)
    assert ids(Caps(10, 20, seed=1)) != (d, u)
    assert [len(side) for side in ids(Caps(balanced=True))] == [30, 30]
    assert [len(side) for side in ids(Caps(max_undesirable=7, balanced=True))] == [7, 7]
    assert [len(side) for side in ids(Caps(max_desirable=1000))] == [30, 60]
    quarter, half = ids(Caps(fraction=0.25)), ids(Caps(fraction=0.5))
    assert [len(side) for side in (*quarter, *half)] == [8, 15, 15, 30]
    assert all(set(small) < set(large) for small, large in zip(quarter, half, strict=True))
    with pytest.raises(ConfigError, match=r"fraction=1.5"):
        Caps(fraction=1.5)
    with pytest.raises(ConfigError, match="max_desirable=0"):
        Caps(max_desirable=0)


def test_filtered_successes_come_from_every_task(episode):
    pool = [episode(f"{task}-{i}", task, (10 * (task + 1) + i,)) for task in range(3) for i in range(4)]
    pool += [episode("3-alone", 3, (1,)), episode("0-failed", 0, (1,), reward=0.0)]
    assert [item.id for item in select_filtered(pool, 0.25)] == ["0-0", "1-0", "2-0"]
    assert [item.id for item in select_filtered(pool, 0.5)] == [
        "0-0", "0-1", "1-0", "1-1", "2-0", "2-1", "3-alone"
    ]  # fmt: skip
    assert len(select_filtered(pool, 1.0)) == 13
    with pytest.raises(DataError, match=r"fraction 0\.1"):
        select_filtered(pool, 0.1)
    with pytest.raises(ConfigError, match=r"in \(0, 1\]"):
        select_filtered(pool, 0.0)
