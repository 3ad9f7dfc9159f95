"""Override strings and the distributions they become, and sampled values as overrides again."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from depo_lightning.errors import ConfigError
from depo_lightning.tuning.grid import grid_points
from depo_lightning.tuning.space import parse_space


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1,2,3", CategoricalDistribution([1, 2, 3])),
        ("a=choice(x,y)", CategoricalDistribution(["x", "y"])),
        ("a=choice(0.5,1)", CategoricalDistribution([0.5, 1])),
        ("a=null,1", CategoricalDistribution([None, 1])),
        ("a=true,false", CategoricalDistribution([True, False])),
        ("a=1,true", CategoricalDistribution(["1", "True"])),  # Python takes 1 and True for the same
        ("a=[p,q],[r]", CategoricalDistribution(["[p,q]", "[r]"])),
        ("a='p q','r,s'", CategoricalDistribution(["'p q'", "'r,s'"])),
        ("a=range(0,4)", IntDistribution(0, 3)),
        ("a=range(0,10,3)", IntDistribution(0, 9, step=3)),
        ("a=range(3,0,-1)", IntDistribution(1, 3)),
        ("a=range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("a=interval(0,3)", FloatDistribution(0.0, 3.0)),
        ("a=int(interval(1,8))", IntDistribution(1, 8)),
        ("a=tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("a=tag(log,int(interval(1,100)))", IntDistribution(1, 100, log=True)),
        ("a=1,1,2", CategoricalDistribution([1, 2])),
    ],
)
def test_distributions(text: str, expected: BaseDistribution) -> None:
    assert parse_space({}, [text], None).distributions == {"a": expected}
    key, _, value = text.partition("=")
    assert parse_space({key: value}, [], None).distributions == {"a": expected}


def test_yaml_values_need_no_quoting() -> None:
    space = parse_space({"a": ["x", "y z"], "b": 3, "c": True, "d": None}, [], None)
    assert space.distributions == {"a": CategoricalDistribution(["x", "y z"])}
    assert space.fixed == ["b=3", "c=True", "d=null"]


@pytest.mark.parametrize(
    "text", ["a='p q','r,s'", "a=[p,q],[r]", "a={k: 1},{k: 2}", "+a=1e-5,0.1", "a=null,x", "a='',b", "a='1',2"]
)
def test_an_override_means_the_value_it_came_from(text: str) -> None:
    parser = OverridesParser.create()
    wanted = [parser.parse_overrides([f"{text.partition('=')[0]}={v}"])[0].value() for v in _values(text)]
    parameter = parse_space({}, [text], None).parameters["a"]
    assert parameter.grid is not None
    back = [parser.parse_overrides([parameter.override(value)])[0] for value in parameter.grid]
    assert [override.value() for override in back] == wanted
    assert {override.get_key_element() for override in back} == {text.partition("=")[0]}


def _values(text: str) -> list[str]:
    return list(OverridesParser.create().parse_overrides([text])[0].sweep_string_iterator())


def test_the_command_line_wins_and_fixes() -> None:
    space = parse_space({"a": "1,2", "b": "interval(0,1)", "seed": "0,1"}, ["a=3", "b=interval(0,2)", "c=x"], "seed")
    assert space.distributions == {"b": FloatDistribution(0.0, 2.0)}
    assert space.fixed == ["a=3", "c=x"]
    assert space.overrides({"b": 0.5}) == [["a=3", "c=x", "b=0.5", "seed=0"], ["a=3", "c=x", "b=0.5", "seed=1"]]


def test_without_repetition_a_seed_is_a_parameter() -> None:
    assert "seed" in parse_space({"seed": "0,1"}, [], None).distributions


def test_group_and_deletion_overrides_are_kept() -> None:
    space = parse_space({"thresholds": "babyai,relative"}, ["~teacher", "+experiment=x", "++a.b=1"], "seed")
    assert space.fixed == ["~teacher", "+experiment=x", "++a.b=1"]
    assert space.overrides({"thresholds": "relative"})[0][-1] == "thresholds=relative"


def test_all_faults_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space(
            {
                "a": "interval(3,1)",
                "b": "tag(log,interval(0,1))",
                "c": "range(3,1)",
                "d": "choice(",
                "e": "interval(1)",
            },
            ["f=tag(log,1,2)", "g=tag(fast,interval(0,1))", "h=tag(log,range(1,9))", "i=interval(0,inf)"],
            None,
        )
    assert len(caught.value.faults) == 9
    for words in ("a=interval(3,1): an interval needs two finite numbers", "log scale needs a lower end above 0"):
        assert words in str(caught.value)


def test_grid_points_in_the_order_of_hydras_own_sweeper() -> None:
    points = grid_points(parse_space({"a": "x,y", "b": "range(0,2)", "c": "range(0,1,0.5)"}, [], None))
    assert points[:5] == [
        {"a": "x", "b": 0, "c": 0.0},
        {"a": "x", "b": 0, "c": 0.5},
        {"a": "x", "b": 1, "c": 0.0},
        {"a": "x", "b": 1, "c": 0.5},
        {"a": "y", "b": 0, "c": 0.0},
    ]
    assert len(points) == 8
    with pytest.raises(ConfigError, match="b is continuous"):
        grid_points(parse_space({"a": "x,y", "b": "interval(0,2)"}, [], None))
