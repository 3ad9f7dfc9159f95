"""Model cards: what a run's `results.json` and `config.yaml` say of each policy, as the Hugging Face Hub reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from depo_lightning.evaluation.table import markdown_table, policy_label
from depo_lightning.exports.run import ADAPTER, Run
from depo_lightning.files import write_atomic

if TYPE_CHECKING:
    from huggingface_hub.repocard_data import EvalResult

CARD = "README.md"
_PAPER = (
    "DEPO: Dual-Efficiency Preference Optimization for LLM Agents, [arXiv 2511.15392](https://arxiv.org/abs/2511.15392)"
)
_MADE = {
    "bc": "behaviour cloning of successful episodes",
    "filtered_bc": "supervised fine-tuning of the BC policy on the cheapest successes of each task",
    "kto": "KTO on labelled episodes, from the BC policy, which is its reference",
}
_PREFERRED = "preference optimisation for few tokens and few steps, from the BC policy, which is its reference"
_SECTIONS = {"bc": ("bc",), "filtered_bc": ("filtered_bc",), "kto": ("thresholds", "depo")}
_PREFERENCE_SECTIONS = ("thresholds", "efficiency", "depo")
_TRAINED = "It was trained on {}, in ReAct form (`Thought:`, `Action:`); nothing is known of it elsewhere."
_LIMITS = (
    "Tokens are counted with its own tokenizer, and compare with no other model's.",
    "The figures are of one training seed. Their standard errors are over episodes: another seed may differ by more.",
    "Seconds hold for the machine and the batch they were measured with.",
)


def write_cards(run: Run) -> list[Path]:
    """Write the card of every policy into its directory; returns their paths.

    Raises:
        MachineError: a card cannot be written.
    """
    return [write_atomic(path / CARD, policy_card(run, name, path)) for name, path in run.policies.items()]


def policy_card(run: Run, name: str, path: Path) -> str:
    """The text of a policy's card: metadata as YAML, then what it is, how it did, how it was made, its limits.

    Args:
        run: that it comes from.
        name: of the policy in the run's results.
        path: its files; an adapter is told by its configuration.
    """
    from huggingface_hub.repocard_data import ModelCardData

    title = f"{policy_label(name, run.results['policies'][name])} on {' and '.join(_environments(run))}"
    base = run.base(path) if (path / ADAPTER).is_file() else None
    adapter = base is not None
    data = ModelCardData(
        language="en",
        library_name="peft" if adapter else "transformers",
        base_model=base if base and not Path(base).is_absolute() else None,
        pipeline_tag="text-generation",
        tags=["agent", "react", "token-efficiency", "kto", "depo", *(["lora"] if adapter else [])],
        model_name=title,
        eval_results=list(_eval_results(run, name)),
    )
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(_sections(run, name, title, base)) + "\n"


def _sections(run: Run, name: str, title: str, base: str | None) -> Iterator[str]:
    results, config = run.results, run.config
    yield f"# {title}"
    yield (
        f"A policy for {_named(run)}: {_MADE.get(name, _PREFERRED)}. Trained with "
        f"depo_lightning {results['versions']['depo-lightning']} after {_PAPER}."
    )
    yield "## Evaluation"
    yield f"On held-out {results['split']} tasks, at temperature {config['rollout']['temperature']}:"
    yield markdown_table(results).strip()
    yield from (f"The labels' report warns: {warning}" for warning in results["label_warnings"])
    yield "## Use"
    yield f"```python\n{_snippet(base is not None)}\n```"
    if base and Path(base).is_absolute():
        yield (
            "`adapter_config.json` names the base model by its place on the machine of the run: the policy `bc` of "
            "that run. `python -m depo_lightning.exports adapters RUN --to DIR --base NAME` writes another name."
        )
    yield "## Data"
    yield (
        "Episodes come from a Monte Carlo tree search with a teacher "
        f"(`{config['teacher']['name']}`), on tasks that no evaluation plays."
        if not config["search"].get("trajectories")
        else "Episodes come from data that the user gave."
    )
    yield "## Settings"
    chosen = ("env", "model", *_SECTIONS.get(name, _PREFERENCE_SECTIONS), "trainer", "rollout")
    yield f"```yaml\n{yaml.safe_dump(_settings(run, name, chosen), sort_keys=False).strip()}\n```"
    yield "## Limits"
    yield "\n".join(f"* {limit}" for limit in (_TRAINED.format(_named(run)), *_LIMITS))


def _settings(run: Run, name: str, sections: tuple[str, ...]) -> dict[str, Any]:
    alphas = {"alpha1": run.results["alpha1"], "alpha2": run.results["alpha2"]} if name == run.results["main"] else {}
    return {"seeds": run.results["seeds"], **alphas, **{part: run.config[part] for part in sections}}


def _snippet(adapter: bool) -> str:
    kind = ("peft", "AutoPeftModelForCausalLM") if adapter else ("transformers", "AutoModelForCausalLM")
    own = f"from {kind[0]} import {kind[1]}\nfrom transformers import AutoTokenizer"
    both = f"from transformers import {kind[1]}, AutoTokenizer"
    return f"""{own if adapter else both}

model, tokenizer = {kind[1]}.from_pretrained(path), AutoTokenizer.from_pretrained(path)
chat = [{{"role": "system", "content": instructions}}, {{"role": "user", "content": observation}}]
ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**ids, max_new_tokens=64)[0, ids["input_ids"].shape[1] :]))"""


def _environments(run: Run) -> list[str]:
    """The environments that the run played; a mixture's by their names."""
    env = run.config["env"]
    return list(env.get("parts") or [env["name"]])


def _named(run: Run) -> str:
    names = [f"`{name}`" for name in _environments(run)]
    return f"the text environment{'s' if len(names) > 1 else ''} {' and '.join(names)}"


def _eval_results(run: Run, name: str) -> Iterator[EvalResult]:
    played = {env: part["policies"] for env, part in run.results.get("environments", {}).items()}
    for env, policies in (played or {_environments(run)[0]: run.results["policies"]}).items():
        yield from _eval_results_of(env, run.results["split"], policies[name]["metrics"])


def _eval_results_of(env: str, split: str, metrics: Mapping[str, Any]) -> Iterator[EvalResult]:
    from huggingface_hub.repocard_data import EvalResult

    for metric, estimate in metrics.items():
        if estimate["mean"] is not None:
            yield EvalResult(
                task_type="text-generation",
                task_name="text environment",
                dataset_type=env,
                dataset_name=env,
                dataset_split=split,
                metric_type=metric,
                metric_name=f"{metric} (± {_rounded(estimate['se'])}, n = {estimate['n']})",
                metric_value=_rounded(estimate["mean"]),
            )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
