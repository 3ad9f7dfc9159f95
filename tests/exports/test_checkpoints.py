"""What leaves a run loads elsewhere: merged, under another base's name, and by vLLM's documented rules."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from depo_lightning.errors import ConfigError, DataError
from depo_lightning.exports.__main__ import main
from depo_lightning.exports.checkpoints import merge, rebase, vllm_commands, vllm_faults
from depo_lightning.exports.run import Run


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(torch.arange(4, 40)[None]).logits


def test_a_merged_policy_says_what_its_adapter_says(moved: Path, finished: Path, tmp_path: Path) -> None:
    expected = logits(AutoPeftModelForCausalLM.from_pretrained(finished / "policies" / "depo"))
    target = merge(Run.read(moved), "depo", tmp_path / "merged")  # although its base is not where it says
    merged = AutoModelForCausalLM.from_pretrained(target)
    torch.testing.assert_close(logits(merged), expected)
    bc = AutoModelForCausalLM.from_pretrained(finished / "policies" / "bc")
    assert (logits(bc) - expected).abs().max() > 0.1
    assert AutoTokenizer.from_pretrained(target).chat_template
    assert not (target / "adapter_config.json").exists()
    assert ModelCard.load(target / "README.md").data.library_name == "transformers"
    whole = merge(Run.read(moved), "bc", tmp_path / "bc")
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(whole)), logits(bc))


def test_adapters_with_another_base(moved: Path, finished: Path, tmp_path: Path) -> None:
    paths = rebase(Run.read(moved), str(finished / "policies" / "bc"), tmp_path / "adapters")
    assert [path.name for path in paths] == ["kto", "depo"]
    expected = logits(AutoPeftModelForCausalLM.from_pretrained(finished / "policies" / "kto"))
    torch.testing.assert_close(logits(AutoPeftModelForCausalLM.from_pretrained(paths[0])), expected)
    (path, _) = rebase(Run.read(moved), "someone/bc", tmp_path / "named")
    assert json.loads((path / "adapter_config.json").read_text())["base_model_name_or_path"] == "someone/bc"
    assert ModelCard.load(path / "README.md").data.base_model == "someone/bc"


def test_vllm_would_take_the_adapters(finished: Path) -> None:
    for name in ("kto", "depo"):
        assert list(vllm_faults(finished / "policies" / name)) == []
    (command,) = vllm_commands(Run.read(finished))
    words = shlex.split(command)
    policies = finished / "policies"
    assert words[:3] == ["vllm", "serve", str(policies / "bc")]
    options = dict(zip(words[3::2], words[4::2], strict=False))
    assert options["--served-model-name"] == "bc"
    assert options["--max-model-len"] == "256"
    assert options["--dtype"] == "float32"  # vLLM would round float32 weights to 16 bits
    assert words[words.index("--enable-lora") + 1 :] == [
        *("--max-lora-rank", "8", "--max-loras", "2", "--lora-modules"),
        *(f"{name}={policies / name}" for name in ("kto", "depo")),
    ]


def test_an_adapter_of_another_base_is_told(moved: Path) -> None:
    path = moved / "policies" / "kto" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "someone/model"}))
    with pytest.raises(DataError, match="base of kto is no checkpoint"):
        vllm_commands(Run.read(moved))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias='all'"),
        ({"r": 1024}, "r=1024"),
    ],
)
def test_what_vllm_would_refuse_is_told(change: dict[str, Any], word: str, moved: Path) -> None:
    path = moved / "policies" / "kto" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert any(word in fault for fault in vllm_faults(path.parent))
    with pytest.raises(DataError, match="exports merge"):
        vllm_commands(Run.read(moved))
    (path.parent / "adapter_model.safetensors").unlink()
    assert "adapter_model.safetensors: is missing" in list(vllm_faults(path.parent))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (lambda run, to: ["merge", str(run), "dep", "--to", str(to)], "no policy 'dep'; there are: bc, kto, depo"),
        (lambda run, to: ["merge", str(run), "bc", "--to", str(run)], "name a new directory"),
        (lambda run, to: ["cards", str(to)], "no finished run"),
        (lambda run, to: ["preferences", str(run), "--to", str(to), "--store", str(to)], "--store"),
    ],
    ids=["policy", "target", "run", "store"],
)
def test_wrong_input_is_told(
    arguments: Callable[[Path, Path], list[str]],
    told: str,
    moved: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments(moved, tmp_path / "new")) == 2
    assert told in capsys.readouterr().err


def test_a_target_in_use_is_not_touched(moved: Path) -> None:
    with pytest.raises(ConfigError):
        rebase(Run.read(moved), "someone/bc", moved)


@pytest.mark.slow  # a fresh process loads everything
def test_policies_load_from_anywhere_without_this_package(finished: Path) -> None:
    code = (
        "import sys; from peft import AutoPeftModelForCausalLM as A; from transformers import AutoTokenizer as T\n"
        "model, _ = A.from_pretrained(sys.argv[1]), T.from_pretrained(sys.argv[1])\n"
        "assert 'depo_lightning' not in sys.modules; print(sum(p.numel() for p in model.parameters()))"
    )
    command = [sys.executable, "-c", code, str(finished / "policies" / "kto")]
    hidden = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True, env=hidden)
    assert int(done.stdout.split()[-1]) > 1000
