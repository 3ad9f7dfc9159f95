"""Search trees as preference data for a model: chosen, labelled, rephrased and tokenised as the pipeline does.

As a process of its own (`spec`: collected, tokenizer or gguf, trees, most_tokens, labels, seed, target) it writes
`samples.json` and, for a GGUF checkpoint, the model in the format that both contenders load.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from bench import workers
from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.collect.labelling import label_absolute, label_relative
from depo_lightning.collect.rephrase import RulesRephraser, rephrase
from depo_lightning.data import PreferenceSample
from depo_lightning.trajectory import Trajectory, read_jsonl

SAMPLES = "samples.json"
# "thresholds": those of thresholds=babyai, without the caps of the embedded default, so that trees stay whole.
# "halves": thresholds=relative with both fractions at ½: of every tree the cheaper half against the dearer one.
LABELS = ("thresholds", "halves")


def pool(trajectories: Sequence[Trajectory], trees: int, seed: int) -> list[Trajectory]:
    """The episodes of so many random trees, or of all: to label and count tokens of no more than are needed."""
    names = sorted({item.source.tree for item in trajectories if item.source})
    kept = set(Random(seed).sample(names, min(trees, len(names))))
    return [item for item in trajectories if item.source and item.source.tree in kept]


def labelled_trees(trajectories: Sequence[Trajectory], labels: str) -> list[list[Trajectory]]:
    """All labelled episodes of each search tree that has two or more; D with shortened thoughts."""
    if labels == "thresholds":
        labelled, _ = label_absolute(trajectories, kappa0=0.9, kappa1=0.9, kappa2=0.7, step_cut=7)
    else:
        labelled, _ = label_relative(trajectories, desirable_fraction=0.5, undesirable_fraction=0.5)
    rephrased, _ = rephrase(labelled, RulesRephraser())
    trees: dict[str, list[Trajectory]] = defaultdict(list)
    for item in rephrased:
        assert item.source is not None
        trees[item.source.tree].append(item)
    return [tree for _, tree in sorted(trees.items()) if len(tree) > 1]


def choose(trees: Sequence[list[PreferenceSample]], count: int, seed: int, most: int | None) -> list[PreferenceSample]:
    """The episodes of `count` random trees, both classes and at most `most` row tokens among them.

    Raises:
        ValueError: there are not that many trees, or none of 1000 draws is small enough.
    """
    if count > len(trees):
        raise ValueError(f"{count} trees are wanted, {len(trees)} have two labelled episodes; collect more")
    draw = Random(seed)
    for _ in range(1000):
        episodes = [item for tree in draw.sample(list(trees), count) for item in tree]
        both = len({item.desirable for item in episodes}) == 2  # where U is rare, a few trees may hold none
        if both and (most is None or row_tokens(episodes) <= most):
            return episodes
    raise ValueError(f"no {count} trees with both labels and at most {most} row tokens were drawn")


def row_tokens(samples: Sequence[PreferenceSample]) -> int:
    """Tokens of all steps as rows of their own, each with its whole prompt."""
    return sum(end for sample in samples for _, end in sample.spans)


def load_samples(folder: Path) -> list[PreferenceSample]:
    """What this module wrote."""
    rows = json.loads((folder / SAMPLES).read_text())
    return [PreferenceSample(**{**row, "spans": [tuple(span) for span in row["spans"]]}) for row in rows]


def _from_gguf(path: Path, target: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    del model.config.quantization_config  # these are full weights now, but a model loaded so refuses to be saved
    plain = AutoModelForCausalLM.from_config(model.config)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return tokenizer


def main() -> None:
    """Prepare the data of one model."""
    from depo_lightning.stages.policies import load_tokenizer

    spec = workers.spec()
    target = Path(spec["target"])
    gguf = spec.get("gguf")
    tokenizer = _from_gguf(Path(gguf), target) if gguf else load_tokenizer(Path(spec["tokenizer"]))
    renderer = ChatRenderer(tokenizer)
    # Ranks within a tree go by tokens, so they are counted with this model's tokenizer, before and after rephrasing.
    found = pool(read_jsonl(Path(spec["collected"])), 6 * spec["trees"] + 30, spec["seed"])
    collected = [renderer.count(item) for item in found]
    trees = [
        [PreferenceSample.from_trajectory(item, renderer.encode(item.messages())) for item in tree]
        for tree in labelled_trees(collected, spec["labels"])
    ]
    samples = choose(trees, spec["trees"], spec["seed"], spec["most_tokens"])
    (target / SAMPLES).write_text(json.dumps([asdict(sample) for sample in samples]))
    workers.answer(
        episodes=len(samples),
        desirable=sum(sample.desirable for sample in samples),
        rows=sum(len(sample.spans) for sample in samples),
        row_tokens=row_tokens(samples),
        episode_tokens=sum(len(sample.input_ids) for sample in samples),
        longest=max(len(sample.input_ids) for sample in samples),
    )


if __name__ == "__main__":
    main()
