"""Other trainers read the preference data: TRL trains on it, and LLaMA-Factory's documented format is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.errors import DataError
from depo_lightning.exports import preference_rows, write_llama_factory
from depo_lightning.exports.__main__ import main
from depo_lightning.trajectory import Label, Trajectory

# The keys that LLaMA-Factory's data/README.md documents for a description, its columns and its tags.
DESCRIPTION = {"file_name", "formatting", "ranking", "columns", "tags"}
COLUMNS = {"messages", "system", "tools", "images", "videos", "audios", "chosen", "rejected", "kto_tag"}
TAGS = {"role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag"}


@pytest.fixture
def data(finished: Path, tmp_path: Path) -> Path:
    assert main(["preferences", str(finished), "--to", str(tmp_path / "data")]) == 0
    return tmp_path / "data"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.filterwarnings("ignore")
def test_trl_trains_on_the_preferences(finished: Path, data: Path, tmp_path: Path, labelled: list[Trajectory]) -> None:
    datasets, trl = pytest.importorskip("datasets"), pytest.importorskip("trl")
    preferences = datasets.load_dataset(
        "json", data_files=str(data / "trl_kto.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
    )
    bc = finished / "policies" / "bc"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(bc), AutoTokenizer.from_pretrained(bc)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    options = trl.KTOConfig(
        output_dir=str(tmp_path / "trained"),
        max_steps=3,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        max_length=None,
        beta=0.2,
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    trainer = trl.KTOTrainer(model, args=options, train_dataset=preferences, processing_class=tokenizer)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 3
    assert all(0 < loss < 2 for loss in losses)
    assert any(not torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    # what TRL makes of a turn is what the rollouts and our own training make of it, token for token
    renderer = ChatRenderer(tokenizer)
    ours = [
        (renderer.prompt_ids(row["prompt"]), renderer.turn_ids(row["completion"][0]["content"]), row["label"])
        for row in preference_rows(labelled)
    ]
    theirs = [(row["prompt_ids"], row["completion_ids"], row["label"]) for row in trainer.train_dataset]
    assert sorted(theirs) == sorted(ours)


def test_llama_factory_finds_what_its_description_names(data: Path, labelled: list[Trajectory]) -> None:
    info = json.loads((data / "dataset_info.json").read_text())
    assert set(info) == {"depo_kto", "depo_sft"}
    for description in info.values():
        assert set(description) <= DESCRIPTION
        assert set(description["columns"]) <= COLUMNS
        assert set(description["tags"]) <= TAGS
        assert description["formatting"] == "sharegpt"
        columns, tags = description["columns"], description["tags"]
        found = rows(data / description["file_name"])
        assert all(set(row) == set(columns.values()) for row in found)
        for row in found:
            names = [message[tags["role_tag"]] for message in row[columns["messages"]]]
            assert names == [tags["system_tag"], *[tags["user_tag"], tags["assistant_tag"]] * (len(names) // 2)]
            assert all(message[tags["content_tag"]] for message in row[columns["messages"]])
    turns = rows(data / "depo_kto.jsonl")
    assert [row["kto_tag"] for row in turns] == [row["label"] for row in preference_rows(labelled)]
    assert len(rows(data / "depo_sft.jsonl")) == sum(item.label is Label.DESIRABLE for item in labelled)


def test_without_labels_there_is_nothing_to_write(tmp_path: Path, labelled: list[Trajectory]) -> None:
    bad = [item for item in labelled if item.label is Label.UNDESIRABLE]
    assert set(write_llama_factory(tmp_path / "u", bad)) == {"depo_kto"}
    assert not (tmp_path / "u" / "depo_sft.jsonl").exists()
    with pytest.raises(DataError, match="nothing to export"):
        write_llama_factory(tmp_path / "none", [])
