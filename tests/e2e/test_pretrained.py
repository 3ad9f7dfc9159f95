"""The pipeline on a pretrained model in a directory: LoRA at every stage, policies that plain libraries load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from tests.e2e.conftest import ROOT, SMALL, environment
from transformers import AutoModelForCausalLM

from depo_lightning.models import TinySettings, build_tiny, fit_tokenizer, save_policy
from depo_lightning.store import Store

OWN = tuple(override for override in SMALL if not override.startswith("model."))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A chat model that knows nothing, as the hub would have it."""
    tokenizer = fit_tokenizer(["Thought:\n\n\nAction:\ngo to red ball 1", "You see a red ball 1."] * 20, (), 300)
    shape = TinySettings(hidden=32, layers=1, ff=32, heads=2, max_positions=9000)
    save_policy(build_tiny(shape, tokenizer, 0), tokenizer, tmp_path / "m")
    return tmp_path / "m"


def run(tmp_path: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    places = (f"store={tmp_path / 'store'}", f"hydra.run.dir={tmp_path / 'out'}", "logger=none", "thresholds=relative")
    line = [sys.executable, str(ROOT / "run.py"), "model=hf", *OWN, *places, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


SHORT = ("rollout.max_steps=2", "rollout.max_context=2048", "env.levels=[GoToRedBallGrey]", "policies=[bc,depo]")


@pytest.mark.slow
def test_from_a_directory_to_the_table(model: Path, tmp_path: Path) -> None:
    run(tmp_path, f"model.path={model}", *SHORT, "depo.lora.targets=[q_proj,v_proj]", "bc.lr=1e-2", "depo.lr=1e-2")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["policies"]) == ["bc", "depo"]
    stages = [entry["stage"] for entry in Store(tmp_path / "store").account()]
    assert stages.index("tokenizer") < stages.index("collect")
    policies = tmp_path / "out" / "policies"
    ids = torch.arange(8)[None]
    with torch.no_grad():
        start, bc = (AutoModelForCausalLM.from_pretrained(path)(ids).logits for path in (model, policies / "bc"))
        depo = AutoPeftModelForCausalLM.from_pretrained(policies / "depo")
        assert not torch.allclose(start, bc, atol=1e-3)  # π_BC: merged into a plain checkpoint
        assert not torch.allclose(bc, depo(ids).logits, atol=1e-5)  # and DEPO an adapter over it
        with depo.disable_adapter():
            torch.testing.assert_close(depo(ids).logits, bc)
    assert sorted(depo.active_peft_config.target_modules) == ["q_proj", "v_proj"]


def test_what_cannot_work_is_told_before_the_search(model: Path, tmp_path: Path) -> None:
    told = run(tmp_path, f"model.path={model}", "rollout.max_context=9999", "bc.lora.targets=[query]", expect=2).stderr
    for word in ("configuration error:", "9999", "9000", "bc.lora.targets", "gate_proj"):
        assert word in told
    (model / "chat_template.jinja").unlink()
    told = run(tmp_path, f"model.path={model}", *SHORT, expect=2).stderr
    assert "no chat template" in told
    assert "Traceback" not in told
    assert not (tmp_path / "store" / "collect").exists()


@pytest.mark.slow
def test_episodes_beyond_the_models_context_are_told(model: Path, tmp_path: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 200}))
    told = run(tmp_path, f"model.path={model}", *SHORT, "rollout.max_context=150", expect=2).stderr
    assert "longer than the model's context of 200 tokens" in told
    assert "search.max_depth" in told
