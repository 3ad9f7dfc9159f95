"""Group `evaluation`: sets of questions, asked beside the environment's tasks; none by default.

Several at once: `evaluation=[gsm8k,math]`. Each file of the group adds one set under its name, so that its fields are
`evaluation.gsm8k.limit` and so on.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class QuestionsConfig:
    """One set: where its questions come from (the first of path, hub, generator that is given), and how it is asked."""

    path: str | None = None  # a local JSONL
    hub: str | None = None  # id of a data set on the Hugging Face hub
    subset: str | None = None  # of the hub's data set
    split: str = "test"
    revision: str | None = None  # of the hub's data set: commit, tag or branch; null: the newest
    generator: str | None = None  # arithmetic
    question_field: str = "question"
    answer_field: str = "answer"  # may hold a solution that ends in `#### 18` or a box
    limit: int | None = None  # questions, drawn by the seed; null: all
    seed: int = 0  # of the draw, the generator and the sampling noise
    system: str = ""  # system message; none if empty
    prompt: str = "{question}\n\nThink step by step, then give the final answer in \\boxed{}."
    temperature: float = 0.0  # 0 takes the likeliest token
    max_new_tokens: int = 512
    max_context: int = 2048  # tokens of question and answer
