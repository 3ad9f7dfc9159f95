"""Policies for others: merged checkpoints, adapters that name another base, and vLLM's command line.

What vLLM asks of an adapter is checked on the files, after its documentation of LoRA adapters (`docs/features/lora.md`)
and its reader (`vllm/lora/peft_helper.py`, version 0.33).
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depo_lightning.errors import ConfigError, DataError
from depo_lightning.exports.cards import CARD, policy_card
from depo_lightning.exports.run import ADAPTER, Run

WEIGHTS = "adapter_model.safetensors"
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what --max-lora-rank may be
_TENSOR = re.compile(r"base_model\.model\..+\.lora_[AB]\.weight")
_REFUSED = ("modules_to_save", "use_dora", "lora_bias", "layer_replication", "alora_invocation_tokens", "use_qalora")


def merge(run: Run, name: str, target: Path) -> Path:
    """Write a policy as one checkpoint with its card, its adapter merged into its base; returns its directory.

    What an adapter was merged into has float32 weights: 16 bits would round most of a small change away.

    Raises:
        ConfigError: the target is not empty. DataError: the run has no such policy.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from depo_lightning.models import save_policy

    source = run.policy(name)
    _check_empty(target)
    if (source / ADAPTER).is_file():
        from peft import PeftModel

        base = AutoModelForCausalLM.from_pretrained(run.base(source), dtype=torch.float32)
        model: Any = PeftModel.from_pretrained(base, str(source)).merge_and_unload()
    else:
        model = AutoModelForCausalLM.from_pretrained(source)
    save_policy(model, AutoTokenizer.from_pretrained(source), target)
    (target / CARD).write_text(policy_card(run, name, target), encoding="utf-8")
    return target


def rebase(run: Run, base: str, target: Path) -> list[Path]:
    """Copy a run's adapters into `target`, a directory each, with `base` as the name of their base model.

    Args:
        run: that they come from.
        base: a name on the Hub, or a directory, which is written as an absolute path.
        target: empty, or not there yet.

    Raises:
        ConfigError: the target is not empty. DataError: the run has no adapter.
    """
    adapters = {name: path for name, path in run.policies.items() if (path / ADAPTER).is_file()}
    if not adapters:
        raise DataError(f"{run.directory}: no policy of this run is an adapter; nothing needs another base")
    _check_empty(target)
    found = str(Path(base).absolute()) if Path(base).is_dir() else base
    for name, path in adapters.items():
        shutil.copytree(path, target / name)
        config = json.loads((path / ADAPTER).read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = found
        (target / name / ADAPTER).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        (target / name / CARD).write_text(policy_card(run, name, target / name), encoding="utf-8")
    return [target / name for name in adapters]


def vllm_faults(adapter: Path) -> Iterator[str]:
    """What in an adapter's files vLLM would refuse, or load as something else."""
    from safetensors import safe_open

    config = json.loads((adapter / ADAPTER).read_text(encoding="utf-8"))
    yield from (
        f"{ADAPTER}: {field} is missing" for field in ("r", "lora_alpha", "target_modules") if field not in config
    )
    rank = config.get("r", 1)
    if rank > _RANKS[-1]:
        yield f"{ADAPTER}: r={rank}; vLLM reads ranks up to {_RANKS[-1]}"
    if config.get("bias", "none") != "none":
        yield f"{ADAPTER}: bias={config['bias']!r}; must be 'none'"
    yield from (
        f"{ADAPTER}: {field}={config[field]!r}; vLLM knows no such adapters" for field in _REFUSED if config.get(field)
    )
    if not (adapter / WEIGHTS).is_file():
        yield f"{WEIGHTS}: is missing"
        return
    with safe_open(str(adapter / WEIGHTS), framework="np") as file:
        names = list(file.keys())
    yield from (
        f"{WEIGHTS}: {name} is no weight of a low-rank adapter" for name in names if not _TENSOR.fullmatch(name)
    )


def vllm_commands(run: Run) -> list[str]:
    """Command lines that serve a run's policies by their names, one per base model.

    Raises:
        DataError: an adapter is of a kind that vLLM does not load, or of a base that the run does not hold.
    """
    adapters = {name: path for name, path in run.policies.items() if (path / ADAPTER).is_file()}
    faults = [
        f"{path}: {fault}; serve what `exports merge` writes"
        for path in adapters.values()
        for fault in vllm_faults(path)
    ]
    if faults:
        raise DataError(faults)
    bases = {name: path for name, path in run.policies.items() if name not in adapters}
    served = {name: [n for n, path in adapters.items() if Path(run.base(path)) == base] for name, base in bases.items()}
    lost = sorted(set(adapters).difference(*served.values()))
    if lost:
        raise DataError(
            f"{run.directory}: the base of {', '.join(lost)} is no checkpoint of this run; serve that base and "
            "add them with --lora-modules NAME=DIRECTORY"
        )
    return [_vllm_command(run, name, base, {n: adapters[n] for n in served[name]}) for name, base in bases.items()]


def _vllm_command(run: Run, name: str, base: Path, adapters: dict[str, Path]) -> str:
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    context = run.config["rollout"]["max_context"]
    words = ["vllm", "serve", str(base), "--served-model-name", name, "--max-model-len", str(context)]
    words += ["--dtype", str(config.get("dtype") or config.get("torch_dtype") or "auto"), "--generation-config", "vllm"]
    if adapters:
        ranks = [json.loads((path / ADAPTER).read_text(encoding="utf-8"))["r"] for path in adapters.values()]
        allowed = next(rank for rank in _RANKS if rank >= max(ranks))
        words += ["--enable-lora", "--max-lora-rank", str(allowed), "--max-loras", str(len(adapters)), "--lora-modules"]
        words += [f"{adapter}={path}" for adapter, path in adapters.items()]
    return shlex.join(words)


def _check_empty(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"--to {target}: is there already; name a new directory")
