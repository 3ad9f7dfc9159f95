import json

import pytest

from depo_lightning.agents.react import format_turn
from depo_lightning.errors import DataError
from depo_lightning.exports import (
    preference_rows,
    sharegpt_kto_rows,
    sharegpt_rows,
    write_preferences,
    write_sharegpt,
    write_sharegpt_kto,
)
from depo_lightning.trajectory import Label, Step, Trajectory


def episode(id, label, turns=2, system="sys"):
    steps = tuple(Step(f"obs {i}", "t", f"act {i}", format_turn("t", f"act {i}")) for i in range(turns))
    return Trajectory(id=id, env="e", task=0, seed=0, system=system, steps=steps, reward=1.0, success=True, label=label)


POOL = [episode("d", Label.DESIRABLE), episode("u", Label.UNDESIRABLE, turns=1, system=""), episode("n", None)]


def test_preference_rows_are_one_per_turn():
    rows = list(preference_rows(POOL))
    assert [row["label"] for row in rows] == [True, True, False]
    assert rows[1] == {
        "prompt": [
            {"role": "system", "content": "sys"},
            {"role": "user", "content": "obs 0"},
            {"role": "assistant", "content": "Thought:\nt\n\nAction:\nact 0"},
            {"role": "user", "content": "obs 1"},
        ],
        "completion": [{"role": "assistant", "content": "Thought:\nt\n\nAction:\nact 1"}],
        "label": True,
    }
    assert rows[2]["prompt"] == [{"role": "user", "content": "obs 0"}]


def test_sharegpt_rows():
    rows = list(sharegpt_kto_rows(POOL))
    assert [row["kto_tag"] for row in rows] == [True, True, False]
    assert rows[0]["conversations"] == [
        {"from": "system", "value": "sys"},
        {"from": "human", "value": "obs 0"},
        {"from": "gpt", "value": "Thought:\nt\n\nAction:\nact 0"},
    ]
    whole = list(sharegpt_rows(POOL))
    assert [[message["from"] for message in row["conversations"]] for row in whole] == [
        ["system", "human", "gpt", "human", "gpt"],
        ["human", "gpt"],
        ["system", "human", "gpt", "human", "gpt"],
    ]
    assert all("kto_tag" not in row for row in whole)


def test_sharegpt_turns_alternate_as_llama_factory_demands():
    """Its reader wants human at even and gpt at odd positions after the system text, and an even number in all."""
    for row in [*sharegpt_kto_rows(POOL), *sharegpt_rows(POOL)]:
        names = [message["from"] for message in row["conversations"]]
        names = names[names[0] == "system" :]
        assert names == ["human", "gpt"] * (len(names) // 2)
        assert len(names) >= 2


@pytest.mark.parametrize(
    ("write", "rows"),
    [
        (write_preferences, preference_rows),
        (write_sharegpt_kto, sharegpt_kto_rows),
        (write_sharegpt, sharegpt_rows),
    ],
)
def test_files_hold_the_rows(tmp_path, write, rows):
    path = tmp_path / "out" / "rows.jsonl"
    assert write(path, POOL) == 3
    assert [json.loads(line) for line in path.read_text().splitlines()] == list(rows(POOL))
    assert [p.name for p in path.parent.iterdir()] == ["rows.jsonl"]


def test_nothing_to_export_is_an_error_and_leaves_no_file(tmp_path):
    with pytest.raises(DataError, match="nothing to export"):
        write_preferences(tmp_path / "f.jsonl", [episode("n", None)])
    assert list(tmp_path.iterdir()) == []


def test_trl_reads_the_preferences(tmp_path):
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")
    path = tmp_path / "rows.jsonl"
    write_preferences(path, POOL)
    data = datasets.Dataset.from_json(str(path), cache_dir=str(tmp_path / "cache"))
    assert data.features["label"].dtype == "bool"
    assert data.column_names == ["prompt", "completion", "label"]
    assert all(data_utils.is_conversational(row) for row in data)
    assert data_utils.maybe_unpair_preference_dataset(data) is data  # already unpaired


def test_sharegpt_survives_trl_conversion(tmp_path):
    data_utils = pytest.importorskip("trl.data_utils")
    row = next(iter(sharegpt_rows(POOL)))
    assert data_utils.is_conversational_from_value(row)
    converted = data_utils.maybe_convert_to_chatml(row)
    assert [message["content"] for message in converted["messages"]] == [m["content"] for m in POOL[0].messages()]
