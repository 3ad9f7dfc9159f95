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
