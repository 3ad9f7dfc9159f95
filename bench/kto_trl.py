"""One epoch of TRL's KTOTrainer, as a process of its own, over the steps of the same episodes.

`spec`: model, tokenizer (folder), samples (folder), options (fields of KTOConfig beside the necessary ones), sort (rows
by length: sequential sampling is prescribed, so this is how to pad less), device, threads, count_flops.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer
from trl import KTOConfig, KTOTrainer

from bench import workers
from bench.flops import counted
from bench.kto_model import LORA, load_model
from bench.tree_data import load_samples


class TimedKTOTrainer(KTOTrainer):
    """Notes how long the reference pass takes, which TRL makes while it constructs the trainer."""

    reference_pass: dict[str, float] | None = None  # where the reference is precomputed

    def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Any:
        clock = workers.Clock()
        try:
            return super()._precompute_ref_logps(*args, **kwargs)
        finally:
            self.reference_pass = clock.seconds()


def step_rows(folder: Path, tokenizer: Any) -> list[dict[str, Any]]:
    """Every step of every episode as (prompt, completion, label), as text: TRL tokenises it itself."""

    def text(ids: list[int]) -> str:
        decoded: str = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return decoded

    return [
        {
            "prompt": text(sample.input_ids[:start]),
            "completion": text(sample.input_ids[start:end]),
            "label": sample.desirable,
            "tokens": end,
        }
        for sample in load_samples(folder)
        for start, end in sample.spans
    ]


def main() -> None:
    """Measure once."""
    spec = workers.spec()
    torch.set_num_threads(spec["threads"])
    tokenizer = AutoTokenizer.from_pretrained(spec["tokenizer"])
    model = load_model(spec["model"], spec["device"])
    rows = step_rows(Path(spec["samples"]), tokenizer)
    Random(0).shuffle(rows)  # TRL takes them in the given order, and neighbours make its mismatched pairs
    if spec["sort"]:
        rows.sort(key=lambda row: row["tokens"], reverse=True)
    expected = sum(row.pop("tokens") for row in rows)
    data = Dataset.from_list(rows)
    memory = workers.PeakMemory(spec["device"])
    with tempfile.TemporaryDirectory() as folder:
        config = KTOConfig(
            output_dir=folder,
            num_train_epochs=1,
            max_length=None,
            save_strategy="no",
            report_to="none",
            use_cpu=spec["device"] == "cpu",
            disable_tqdm=True,
            **spec["options"],
        )
        trainer = TimedKTOTrainer(
            model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=LoraConfig(**LORA)
        )
        with counted(spec["count_flops"]) as flops:
            clock = workers.Clock()
            trainer.train()
            seconds = clock.seconds()
    trained: Any = trainer.train_dataset
    tokenised = sum(len(row["prompt_ids"]) + len(row["completion_ids"]) for row in trained)
    if abs(tokenised - expected) > 0.01 * expected:
        raise SystemExit(f"TRL trains on {tokenised} tokens, ours on {expected}: the texts tokenise differently")
    workers.answer(
        **seconds,
        mib=memory.mib(),
        reference=trainer.reference_pass,
        flops=flops.total,
        rows=len(rows),
        tokens=tokenised,
        steps=trainer.state.global_step,
    )


if __name__ == "__main__":
    main()
