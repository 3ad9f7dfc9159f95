"""Results by environment: who is paired with whom, what metrics are called, what the tables show."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from depo_lightning.errors import DataError
from depo_lightning.evaluation.environments import environments_results, policies_results
from depo_lightning.evaluation.table import markdown_table, results_table
from depo_lightning.stages.report import objectives
from depo_lightning.tracking import flat_results


def shop(episodes):
    """The same tasks' numbers, in another environment."""
    return [replace(episode, id=f"shop {episode.id}", env="webshop") for episode in episodes]


@pytest.fixture
def played(episodes, episode):
    """On every task of WebShop DEPO says half of what BC says; in BabyAI the same."""
    ball, dear = episodes(10, 1), [episode(task, [20 + task] * 3, True) for task in range(6)]
    cheap = [episode(task, [10 + task / 2] * 3, True) for task in range(6)]
    return {"bc": [*ball, *shop(dear)], "depo": [*ball, *shop(cheap)]}


@pytest.fixture
def results(played):
    found = {"main": "depo", "policies": policies_results(played, 0)}
    return {**found, "environments": environments_results(played, 0)}


def test_tasks_of_the_same_number_are_paired_within_their_environment(results):
    parts = results["environments"]
    assert list(parts) == ["babyai", "webshop"]
    assert [parts[env]["policies"]["depo"]["metrics"]["success_rate"]["n"] for env in parts] == [10, 6]
    same, halved = (parts[env]["policies"]["depo"]["difference_to_bc"] for env in parts)
    assert (same["tokens"]["mean"], same["tokens"]["n"]) == (0, 10)
    assert halved["tokens_percent"]["mean"] == pytest.approx(-50)
    assert halved["tokens_percent"]["n"] == 6
    assert results["policies"]["depo"]["difference_to_bc"]["tokens"]["n"] == 16


def test_policies_that_played_different_environments_are_refused(played):
    with pytest.raises(DataError, match="webshop 0"):
        policies_results({**played, "depo": played["depo"][:10]}, 0)


def test_one_environment_has_no_results_of_its_own(episodes):
    assert environments_results({"bc": episodes(4, 1), "depo": episodes(4, 2)}, 0) == {}


def test_names_of_metrics(results):
    flat = objectives(results)
    parts = results["environments"]
    for env, policy in (("babyai", "bc"), ("webshop", "depo")):
        estimate = parts[env]["policies"][policy]["metrics"]["tokens_all"]
        assert flat[f"{policy}/{env}/tokens_all"] == estimate["mean"]
        assert flat[f"{policy}/{env}/tokens_all_se"] == estimate["se"]
    assert flat["webshop/tokens_all"] == flat["depo/webshop/tokens_all"] != flat["bc/webshop/tokens_all"]
    assert flat["tokens_all"] == results["policies"]["depo"]["metrics"]["tokens_all"]["mean"]
    tracked = flat_results(results)
    assert tracked["depo/webshop/difference/tokens_percent"] == pytest.approx(-50)
    assert {name for name in flat if flat[name] == flat[name]} <= set(tracked)


def test_the_tables_have_a_block_per_environment(results):
    text = markdown_table(results)
    headers = [line for line in text.splitlines() if "BC" in line and line.startswith("|") and "±" not in line]
    assert [header.split("|")[1].strip() for header in headers] == [
        "",
        "difference to BC",
        *("babyai", "babyai: difference to BC"),
        *("webshop", "webshop: difference to BC"),
    ]
    out = io.StringIO()
    Console(file=out, width=80).print(results_table(results))
    for word in ("evaluation", "babyai", "webshop: difference to BC", "-50.0 *"):
        assert word in out.getvalue()
