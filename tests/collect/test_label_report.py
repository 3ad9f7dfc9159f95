import json

import pytest

from depo_lightning.collect.label_report import make_report


def matched(episode, count=12, d_tokens=10, u_tokens=40, **kwargs):
    """A D and a U for each of `count` tasks, in two levels."""
    wiggle = [i % 3 for i in range(count)]
    return [
        episode(f"{label}-{i}", i, (base + wiggle[i],) * (1 + i % 2), label=label, level=f"level {i % 2}", **kwargs)
        for label, base in (("desirable", d_tokens), ("undesirable", u_tokens))
        for i in range(count)
    ]


def test_matched_and_terser_labels_raise_no_warning(episode):
    pool = matched(episode)
    report = make_report(pool, pool)
    assert report.warnings == ()
    assert report.level_gap == 0.0
    assert report.levels == {f"level {i}": {"desirable": 6, "undesirable": 6} for i in (0, 1)}
    desirable = report.classes["desirable"]
    assert desirable.count == 12
    assert desirable.tokens_per_step == pytest.approx(11.0)
    assert desirable.steps == pytest.approx(1.5)
    assert desirable.tokens == pytest.approx(16.5)
    assert json.loads(json.dumps(report.to_dict()))["classes"]["undesirable"]["count"] == 12
    assert any("12 episodes" in line for line in report.lines())


@pytest.mark.parametrize(("d_tokens", "u_tokens"), [(10, 10), (40, 10)])
def test_warns_where_d_is_not_terser(episode, d_tokens, u_tokens):
    pool = matched(episode, d_tokens=d_tokens, u_tokens=u_tokens)
    warnings = make_report(pool, pool).warnings
    assert any("D is not terser than U" in warning for warning in warnings)


def test_a_gap_below_two_standard_errors_is_no_gap(episode):
    """Means 20 and 22, standard deviations about 10, 8 episodes each: 2 ± 5."""
    pool = [episode(f"d{i}", i, (10 + 20 * (i % 2),), label="desirable") for i in range(8)]
    pool += [episode(f"u{i}", i, (12 + 20 * (i % 2),), label="undesirable") for i in range(8)]
    assert any("difference +2.0 ± 5.3" in warning for warning in make_report(pool, pool).warnings)


def test_warns_where_levels_differ(episode):
    pool = [episode(f"d{i}", i, (10 + i % 2,), level="easy", label="desirable") for i in range(8)]
    pool += [episode(f"u{i}", i, (40,), level="easy" if i < 6 else "hard", label="undesirable") for i in range(8)]
    report = make_report(pool, pool)
    assert report.level_gap == pytest.approx(0.25)
    assert any("distance 0.25 > 0.15" in warning for warning in report.warnings)
    assert report.lines()[-1].startswith("WARNING: ")


def test_warns_where_the_tasks_of_u_are_harder(episode):
    pool = [episode(f"d{i}", i, (10, 10), label="desirable") for i in range(8)]
    pool += [episode(f"u{i}", 50 + i, (40,) * (5 + i % 2), label="undesirable") for i in range(8)]
    warnings = make_report(pool, pool).warnings
    assert any("the tasks of U need +3.50 ± 0.19 more steps" in warning for warning in warnings)
    # the same episodes, but each task of U has also been solved in two steps
    solved = [episode(f"s{i}", 50 + i, (10, 10)) for i in range(8)]
    assert not any("more steps" in warning for warning in make_report(pool + solved, pool).warnings)


def test_names_tasks_that_nobody_solved_and_missing_token_counts(episode):
    pool = [episode(f"d{i}", i, (0,), label="desirable") for i in range(3)]
    pool += [episode("u", 9, (0,), reward=0.0, label="undesirable")]
    warnings = make_report(pool, pool).warnings
    assert any("1 of 1 U episodes come from tasks that no episode solved" in warning for warning in warnings)
    assert any("no step carries a token count" in warning for warning in warnings)
