"""Which settings stand in the keys of the training stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.errors import HydraException

from depo_lightning.config import Config
from depo_lightning.plan import plan
from depo_lightning.stages.context import Context

TRAINED = {"bc": "bc", "filtered_bc": "filtered_bc", "depo": "depo"}  # section of the configuration: policy of the plan


def keys(config: Config) -> dict[str, str]:
    return {name: stage.key for name, stage in plan(config, Context(config)).policies.items()}


def test_grouping_by_tree_has_keys_of_its_own(compose_config: Callable[..., Config]) -> None:
    config = compose_config()
    stages = plan(config, Context(config)).policies
    for section, policy in TRAINED.items():
        assert "grouping" not in stages[policy].config[section]  # as before there was a choice
        changed = keys(compose_config(f"{section}.grouping=tree"))
        assert changed[policy] != stages[policy].key
        assert keys(compose_config(f"{section}.grouping=none")) == keys(config)


def test_questions_change_no_key_of_what_was_there(compose_config: Callable[..., Config], tmp_path: Path) -> None:
    def steps(*overrides: str) -> dict[str, str]:
        config = compose_config(*overrides)
        return {name: stage.key for _, name, stage in plan(config, Context(config)).steps}

    without, asked = steps(), steps("evaluation=arithmetic")
    assert {name: key for name, key in asked.items() if name in without} == without
    assert set(asked) - set(without) == {
        "questions arithmetic",
        *(f"arithmetic {name}" for name in keys(compose_config())),
    }
    source, manner = "questions arithmetic", "arithmetic bc"
    other = steps("evaluation=arithmetic", "evaluation.arithmetic.limit=20")
    assert other[source] != asked[source]
    assert other[manner] != asked[manner]
    other = steps("evaluation=arithmetic", "evaluation.arithmetic.temperature=1")
    assert other[source] == asked[source]
    assert other[manner] != asked[manner]
    path = tmp_path / "mine.jsonl"
    for text in ("1", "2"):  # what a file says counts, not where it lies
        path.write_text(f'{{"question": "{text}?", "answer": {text}}}\n')
        found = steps("evaluation=local", f"evaluation.local.path={path}")["questions local"]
        assert found == steps("evaluation=local", f"evaluation.local.path={path}")["questions local"]
        assert found != other[source]
        other[source] = found


def test_an_unknown_grouping_is_refused(compose_config: Callable[..., Config]) -> None:
    with pytest.raises(HydraException, match="grouping"):
        compose_config("depo.grouping=forest")


@pytest.mark.parametrize(
    "override",
    [
        "trainer.devices=4",
        "trainer.nodes=2",
        "trainer.strategy=ddp",
        "trainer.accumulate=8",
        "trainer.checkpoint_every=null",
    ],
)
def test_how_a_batch_is_shared_out_is_in_no_key(override: str, compose_config: Callable[..., Config]) -> None:
    assert keys(compose_config(override)) == keys(compose_config())
    assert keys(compose_config("trainer.gradient_clip=2.0")) != keys(compose_config())


def collect_key(config: Config) -> str:
    return next(stage.key for phase, _, stage in plan(config, Context(config)).steps if phase == "collect")


def test_where_a_parts_index_is_kept_is_in_no_key(compose_config: Callable[..., Config]) -> None:
    def steps(*overrides: str) -> dict[str, str]:
        config = compose_config("env=babyai_webshop", *overrides)
        return {name: stage.key for _, name, stage in plan(config, Context(config)).steps}

    assert steps("env.parts.webshop.index=elsewhere") == steps()
    for override in ("env.parts.webshop.products=200", "env.parts.babyai.scoring=agentgym"):
        other = steps(override)
        assert not set(other.values()) & set(steps().values())
    assert steps("teacher.parts.webshop.noise=0.5")["collect"] != steps()["collect"]
    assert steps("thresholds.parts.webshop.kappa2=0.6")["label"] != steps()["label"]


def test_files_of_trajectories_count_by_what_they_say(compose_config: Callable[..., Config], tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text("1\n")
    two.write_text("2\n")
    alone = collect_key(compose_config(f"search.trajectories={one}"))
    assert alone == "2685a9245ab23129"  # as before several could be joined
    assert collect_key(compose_config(f"search.trajectories=[{one}]")) == alone
    joined = [collect_key(compose_config(f"search.trajectories=[{a},{b}]")) for a, b in ((one, two), (two, one))]
    assert len({alone, *joined}) == 3


def test_keys_of_the_default_configuration(compose_config: Callable[..., Config]) -> None:
    assert collect_key(compose_config()) == "26f2c5f14c84ed73"  # a change makes every stored search useless


def test_the_usual_size_of_new_weights_is_in_no_key(compose_config: Callable[..., Config]) -> None:
    config = compose_config()
    assert "initializer_range" not in plan(config, Context(config)).policies["bc"].config["model"]
    changed = keys(compose_config("model.initializer_range=0.09"))
    assert not set(changed.values()) & set(keys(config).values())
