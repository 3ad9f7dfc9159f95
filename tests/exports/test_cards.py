"""The model cards hold what the results say, in a form that the Hub's own reader takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from depo_lightning.exports.cards import write_cards
from depo_lightning.exports.run import Run


@pytest.fixture
def cards(moved: Path) -> dict[str, ModelCard]:
    return {path.parent.name: ModelCard.load(path) for path in write_cards(Run.read(moved))}


def test_the_metadata_are_read_back(cards: dict[str, ModelCard], moved: Path) -> None:
    policies = json.loads((moved / "results.json").read_text())["policies"]
    assert list(cards) == list(policies)
    for name, card in cards.items():
        told = {result.metric_type: result for result in card.data.eval_results}
        metrics = {key: value for key, value in policies[name]["metrics"].items() if value["mean"] is not None}
        assert set(told) == set(metrics)
        for key, result in told.items():
            assert result.metric_value == pytest.approx(metrics[key]["mean"], rel=1e-3)
            assert f"n = {metrics[key]['n']}" in result.metric_name
            assert (result.dataset_type, result.dataset_split) == ("babyai", "test")
    assert [card.data.library_name for card in cards.values()] == ["transformers", "peft", "peft"]
    assert cards["depo"].data.base_model is None  # a directory is no name on the Hub


def test_the_text_says_how_it_was_made_and_what_it_is_not(cards: dict[str, ModelCard]) -> None:
    depo, kto, bc = (cards[name].text for name in ("depo", "kto", "bc"))
    for words in ("alpha1: 3.0", "beta: 0.2", "GoToRedBall", "± ", "AutoPeftModelForCausalLM", "one training seed"):
        assert words in depo
    assert "The labels' report warns: D and U come from different levels" in depo
    assert "alpha1" not in kto + bc
    assert "beta" not in bc
    assert "AutoModelForCausalLM" in bc
    assert "AutoPeft" not in bc
