"""On what the figures were taken: processor, cores, memory, accelerator, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from depo_lightning.processes import machine_cores

ROOT = Path(__file__).parents[1]
_PACKAGES = (
    *("torch", "transformers", "peft", "trl", "pytorch-lightning", "tokenizers"),
    *("minigrid", "gymnasium", "numpy", "hydra-core", "optuna"),
)


def describe(device: str) -> dict[str, Any]:
    """JSON-ready facts."""
    return {
        "processor": _processor(),
        "cores": machine_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "accelerator": _accelerator(device),
        "system": platform.platform(),
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
    }


def headline(facts: dict[str, Any]) -> str:
    """The same in a line."""
    where = f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gib']:g} GiB"
    accelerator = f", {facts['accelerator']}" if facts["accelerator"] else ""
    versions = facts["versions"]
    packages = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers", "trl") if versions[name])
    return f"{where}{accelerator}; python {versions['python']}, {packages}; commit {facts['commit']}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _accelerator(device: str) -> str | None:
    if device != "cuda":
        return None
    import torch

    return torch.cuda.get_device_name()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        line = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
