"""The whole pipeline from nothing to the table, again from the store, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from depo_lightning.store import Store
from depo_lightning.trajectory import read_jsonl

Run = Callable[..., subprocess.CompletedProcess[str]]
UNNEEDED = {"sklearn", "pandas", "optuna", "wandb", "plotly", "moocore", "tensorboard", "trl", "datasets", "openai"}
POLICIES = ["bc", "filtered_bc", "kto", "depo"]


def results_without_times(path: Path) -> Any:
    results = json.loads((path / "results.json").read_text())
    del results["timing"]
    for entry in results["policies"].values():
        del entry["timing"]
    return results


def computed(store: Path) -> list[str]:
    return [entry["stage"] for entry in Store(store).account() if entry["event"] == "computed"]


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Modules that a run loaded in any of its processes, where PYTHONPROFILEIMPORTTIME was set."""
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


def test_from_nothing_to_the_table_and_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    first = run()
    assert "torch" in imported(first)
    assert not imported(first) & UNNEEDED
    out, store = tmp_path / "out", tmp_path / "store"
    for word in ("BC", "filtered BC", "KTO", "DEPO", "success rate", "difference to BC"):
        assert word in first.stdout
    results = json.loads((out / "results.json").read_text())
    assert list(results["policies"]) == POLICIES
    assert all(entry["counts"]["episodes"] == 6 for entry in results["policies"].values())
    assert len(read_jsonl(out / "episodes.jsonl")) == 6 * len(POLICIES)
    assert (out / "success_tokens.png").stat().st_size > 5_000
    stages = computed(store)
    assert [stages.count(name) for name in ("collect", "bc", "reference", "depo", "evaluate")] == [1, 1, 1, 2, 4]

    before = results_without_times(out)
    again = run()
    assert "matplotlib" in imported(again)
    assert not imported(again) & (UNNEEDED | {"torch", "transformers", "tokenizers", "peft", "pytorch_lightning"})
    assert computed(store) == stages
    assert results_without_times(out) == before

    check_policies_load_elsewhere(out / "policies")
    validations = list(store.glob("depo/*/validation.jsonl"))  # drafts of other trainings; none of a policy's own files
    assert len(validations) == 2
    assert all(map(read_jsonl, validations))
    assert not list(out.glob("policies/*/validation.jsonl"))

    run(f"store={tmp_path / 'other_store'}")
    assert results_without_times(out) == before


def check_policies_load_elsewhere(policies: Path) -> None:
    """Plain transformers and peft load them, and preference training has moved the weights."""
    tokenizer = AutoTokenizer.from_pretrained(policies / "bc")
    chat = [{"role": "user", "content": "Your goal: go to the red ball"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        bc = AutoModelForCausalLM.from_pretrained(policies / "bc")(**ids).logits
        for name in ("filtered_bc", "kto", "depo"):
            policy = AutoPeftModelForCausalLM.from_pretrained(policies / name)(**ids).logits
            assert policy.shape == bc.shape
            assert not torch.equal(policy, bc)
    for name in POLICIES:
        card = ModelCard.load(policies / name / "README.md").data
        assert {"success_rate", "tokens_all"} <= {result.metric_type for result in card.eval_results}


def test_a_prefix_of_the_stages_and_the_rest_later(run: Run, tmp_path: Path) -> None:
    run("stages=[collect,label,rephrase,bc]", "seed=0")
    assert not (tmp_path / "out" / "results.json").exists()
    done = computed(tmp_path / "store")
    assert "bc" in done
    assert "depo" not in done
    told = run("stages=[evaluate]", expect=2)
    assert "'evaluate' needs 'depo', which is not stored" in told.stderr
    for form in ("undesirable_penalty", "margin", "weight"):
        run(f"efficiency={form}", "policies=[bc,depo]", "rollout.validation_tasks=1", "rollout.max_steps=1")
        assert list(json.loads((tmp_path / "out" / "results.json").read_text())["policies"]) == ["bc", form]
    assert computed(tmp_path / "store").count("bc") == 1


def test_a_grid_shares_its_stages_and_ends_with_the_front(run: Run, tmp_path: Path) -> None:
    done = run("-m", "alpha1=0,3", "alpha2=0,3", "policies=[bc,kto,depo]", "rollout.max_steps=1", "logger=wandb")
    sweep = tmp_path / "sweep"
    stages = computed(tmp_path / "store")
    # α = (0, 0) is KTO, and is trained once with it
    assert [stages.count(name) for name in ("collect", "bc", "reference", "depo", "evaluate")] == [1, 1, 1, 4, 5]
    lines = (sweep / "sweep.csv").read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("job,status,alpha1,alpha2,")
    pareto = json.loads((sweep / "pareto.json").read_text())
    assert len(pareto["points"]) == 4
    assert pareto["front"]
    assert (sweep / "pareto.png").exists()
    html = (sweep / "pareto.html").read_text()
    assert "Plotly" in html
    assert "<script src=" not in html
    assert len(list(sweep.rglob("*.wandb"))) == 5, done.stdout + done.stderr  # one per job, and the summary


@pytest.mark.slow
def test_questions_beside_the_tasks(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"question": "1+1?", "answer": 2}\n{"question": "Half of 3?", "answer": "3/2"}\n')
    asked = ("evaluation=[arithmetic,local]", f"evaluation.local.path={mine}", "evaluation.arithmetic.limit=8")
    short = [f"evaluation.{name}.max_new_tokens=16" for name in ("arithmetic", "local")]
    told = run(*asked, *short, "policies=[bc,filtered_bc]")
    assert "8 questions out of domain" in told.stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {name: entry["n"] for name, entry in results["questions"].items()} == {"arithmetic": 8, "local": 2}
    for entry in results["questions"].values():
        assert list(entry["policies"]) == ["bc", "filtered_bc"]
        assert 0 < entry["policies"]["bc"]["metrics"]["tokens"]["mean"] <= 16
    rows = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert len(rows) == 20
    assert [row["gold"] for row in rows if (row["set"], row["policy"]) == ("local", "bc")] == ["2", "3/2"]
    again = run(*asked, *short, "policies=[bc,filtered_bc]")
    assert "answers to" not in again.stdout  # all from the store

    mine.write_text('{"question": "1+1?"}\n')
    refused = run(*asked, *short, expect=2)
    assert f"{mine}:1: field 'answer' is missing" in refused.stderr
