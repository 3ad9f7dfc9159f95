from __future__ import annotations

import itertools
import random

import pytest

from depo_lightning.evaluation.metrics import Estimate
from depo_lightning.sweeps.configurations import Configuration
from depo_lightning.sweeps.importance import importance
from depo_lightning.sweeps.points import PointStatus

UP = {"score": "maximize"}


def points(rows, measure, status=PointStatus.FINISHED):
    return [
        Configuration(dict(row), (), (), {"score": Estimate(measure(row), 0.1, 10)}, "depo", status, "") for row in rows
    ]


def grid():
    names = ("alpha1", "depo.lr", "efficiency", "flag")
    levels = ((0, 1, 2, 3), (1e-5, 1e-4), ("depo", "kto"), (True, False))
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*levels)]


@pytest.mark.parametrize("strong", ["alpha1", "efficiency"])
def test_what_matters_comes_first_in_a_grid_of_numbers_and_names(strong):
    def measure(row):
        return {"alpha1": row["alpha1"], "efficiency": 3 * (row["efficiency"] == "kto")}[strong] + 0.1 * row["flag"]

    shares, reasons = importance(points(grid(), measure), list(grid()[0]), UP)
    assert next(iter(shares["score"])) == strong
    assert sum(shares["score"].values()) == pytest.approx(1)
    assert shares["score"][strong] > 0.6
    assert reasons == {}


def test_suggested_values_of_any_scale():
    rng = random.Random(0)
    rows = [{"lr": 10 ** rng.uniform(-6, -2), "alpha1": rng.uniform(0, 5), "n": rng.randint(1, 40)} for _ in range(60)]
    shares, _ = importance(points(rows, lambda row: -abs(row["alpha1"] - 4)), ["lr", "alpha1", "n"], UP)
    assert next(iter(shares["score"])) == "alpha1"
    for direction, expected in (("maximize", True), ("minimize", True)):  # either end singles out the parameter
        found, _ = importance(points(rows, lambda row: row["lr"]), ["lr", "alpha1"], {"score": direction})
        assert (next(iter(found["score"])) == "lr") is expected


@pytest.mark.parametrize(
    ("rows", "measure", "reason"),
    [
        (grid()[:9], lambda row: row["alpha1"], "9 measured configurations; it takes 10"),
        (grid(), lambda row: 0.5, "all configurations measured the same"),
        (grid(), lambda row: float("nan"), "0 measured configurations; it takes 10"),
        ([{"alpha1": 1}] * 12, lambda row: random.random(), "no parameter varies among the measured configurations"),
    ],
)
def test_too_little_to_tell_is_said(rows, measure, reason):
    shares, reasons = importance(points(rows, measure), ["alpha1"], UP)
    assert shares == {}
    assert reasons == {"score": reason}


def test_an_objective_that_some_lack_and_a_key_that_some_lack():
    rows = grid()
    for row in rows[::5]:
        del row["flag"]
    made = points(rows, lambda row: row["alpha1"])
    made += points(rows, lambda row: float("nan")) + points(rows, lambda row: 99.0, PointStatus.PRUNED)
    shares, reasons = importance(made, ["alpha1", "flag"], {**UP, "nothing": "minimize"})
    assert next(iter(shares["score"])) == "alpha1"
    assert reasons == {"nothing": "0 measured configurations; it takes 10"}


def test_a_sampler_that_moves_two_parameters_together_does_not_mislead():
    """As TPE does: what it tries with the better labels lies elsewhere in α, although α does nothing."""
    rng = random.Random(0)
    rows = [{"alpha1": rng.uniform(2, 5), "labels": "babyai"} for _ in range(9)]
    rows += [{"alpha1": rng.uniform(0, 2.5), "labels": "relative"} for _ in range(11)]
    made = points(rows, lambda row: (row["labels"] == "relative") + rng.gauss(0, 0.05))
    shares, _ = importance(made, ["alpha1", "labels"], UP)
    assert shares["score"]["labels"] > 0.7
