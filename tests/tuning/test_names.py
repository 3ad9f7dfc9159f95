"""Metrics that a sweep may name: of all episodes, of an environment of several, of a set of questions, of a policy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from depo_lightning.config import Config
from depo_lightning.tuning.config import ConstraintConfig, SweeperConfig
from depo_lightning.tuning.names import name_faults, part_metrics

BOTH = ("env=babyai_webshop", "evaluation=arithmetic")


def faults(config: Config, objective: str, bound: str) -> list[str]:
    constraint = ConstraintConfig(metric=objective, at_least=bound)
    settings = SweeperConfig(objectives={objective: "maximize"}, constraints=[constraint])
    return list(name_faults(settings, part_metrics(config)))


@pytest.mark.parametrize("name", ["success_rate", "webshop/success_rate", "babyai/tokens_all", "arithmetic/accuracy"])
def test_what_results_have(name: str, compose_config: Callable[..., Config]) -> None:
    config = compose_config(*BOTH)
    assert faults(config, name, f"bc/{name}") == []
    if "/" in name:
        told = faults(compose_config(), name, f"bc/{name}")
        assert len(told) == 3
        assert all("unknown metric" in fault and name in fault for fault in told)


@pytest.mark.parametrize(
    "name", ["shop/success_rate", "webshop/accuracy", "arithmetic/success_rate", "webshop/bc/success_rate", "webshop/"]
)
def test_what_they_have_not(name: str, compose_config: Callable[..., Config]) -> None:
    assert len(faults(compose_config(*BOTH), name, f"bc/{name}")) == 3


def test_an_objective_is_of_the_swept_policy(compose_config: Callable[..., Config]) -> None:
    (told,) = faults(compose_config(*BOTH), "bc/webshop/success_rate", "success_rate")
    assert "hydra.sweeper.objectives" in told
