"""Language models as teachers and rephrasers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from depo_lightning.agents.chat_model import Answer
from depo_lightning.agents.http_key import key_fault
from depo_lightning.agents.llm_teacher import readable_turn
from depo_lightning.agents.prompts import placeholders
from depo_lightning.config import Config
from depo_lightning.config.llm import EndpointConfig, ExchangeConfig, LocalModelConfig
from depo_lightning.validation.rules import (
    COUNT,
    POSITIVE,
    Rule,
    at_least,
    fraction,
    positive,
    rule_faults,
)
from depo_lightning.validation.servers import address_faults, key_name_faults

_DTYPES = ("auto", "bfloat16", "float16", "float32", "float64")
_DEVICE = re.compile(r"cpu|mps|cuda(:[0-9]{1,3})?")
_TOKEN_FIELDS = ("max_tokens", "max_completion_tokens")
_AT_LEAST_0 = "must be 0 or more"
_MODEL: tuple[Rule, ...] = (
    ("temperature", at_least(0), _AT_LEAST_0),
    ("top_p", lambda value: value is None or fraction(value), "must be in (0, 1]"),
    ("max_tokens", at_least(1), COUNT),
)
_ENDPOINT: tuple[Rule, ...] = (
    *((f"limits.{name}", at_least(1), COUNT) for name in ("concurrency", "budget_tokens")),
    *((f"limits.{name}", positive, POSITIVE) for name in ("requests_per_minute", "tokens_per_minute", "timeout_s")),
    ("limits.budget_cost", positive, POSITIVE),
    *((f"limits.{name}", at_least(0), _AT_LEAST_0) for name in ("retries", "backoff_s", "max_backoff_s")),
    *((f"prices.{name}", at_least(0), _AT_LEAST_0) for name in ("input", "cached_input", "output")),
)
_LOCAL: tuple[Rule, ...] = (
    ("batch_size", at_least(1), COUNT),
    ("dtype", lambda value: value in _DTYPES, f"choose from {list(_DTYPES)}"),
    (
        "device",
        lambda value: value is None or _DEVICE.fullmatch(value) is not None,
        "must be cpu, cuda, cuda:1, … or mps",
    ),
)
_PLACEHOLDERS = {
    "teacher.prompts.system": {"instructions"},
    "teacher.prompts.distinct": {"earlier"},
    "rephraser.prompts.question": {"thought", "action"},
}


def faults(config: Config) -> Iterator[str]:
    """What is wrong with a teacher or rephraser that is a language model, as far as its configuration tells."""
    for section in ("teacher", "rephraser"):
        node: Any = getattr(config, section)
        if not isinstance(node, EndpointConfig | LocalModelConfig):
            continue
        endpoint = isinstance(node, EndpointConfig)
        rules = (*_MODEL, *_ENDPOINT) if endpoint else (*_MODEL, *_LOCAL)
        yield from rule_faults(config, [(f"{section}.{field}", holds, rule) for field, holds, rule in rules])
        if not node.model:
            where = "that the server serves" if endpoint else "in a directory or on the Hugging Face hub"
            yield f"{section}.model={node.model}: must name the model {where}; write {section}.model=…"
        if isinstance(node, EndpointConfig):
            yield from _endpoint_faults(section, node)
        yield from _prompt_faults(section, node)


def _endpoint_faults(section: str, node: EndpointConfig) -> Iterator[str]:
    yield from address_faults(section, node.base_url)
    yield from key_name_faults(section, node.api_key_env)
    if node.max_tokens_field not in _TOKEN_FIELDS:
        yield f"{section}.max_tokens_field={node.max_tokens_field!r}: choose from {list(_TOKEN_FIELDS)}"
    if node.limits.budget_cost is not None and (node.prices.input is None or node.prices.output is None):
        yield (
            f"{section}.limits.budget_cost={node.limits.budget_cost}: needs prices; "
            f"set {section}.prices.input and .output, per million tokens"
        )


def _prompt_faults(section: str, node: Any) -> Iterator[str]:
    for name, text in vars(node.prompts).items():
        if name == "examples":
            yield from _example_faults(section, text)
            continue
        field = f"{section}.prompts.{name}"
        missing = _PLACEHOLDERS.get(field, set()) - placeholders(text)
        if missing:
            yield f"{field}: must hold {', '.join(f'{{{word}}}' for word in sorted(missing))}"


def _example_faults(section: str, examples: list[ExchangeConfig]) -> Iterator[str]:
    """A teacher's example that could not be played itself would show a format that cannot be played."""
    for index, example in enumerate(examples):
        field = f"{section}.prompts.examples[{index}]"
        for name, text in vars(example).items():
            if not text.strip():
                yield f"{field}.{name}: is empty; write what the {name} says"
        if section == "teacher" and readable_turn(Answer(example.assistant)) is None:
            yield (
                f"{field}.assistant={example.assistant!r}: must be one turn; "
                "write one Thought: and one Action: with an action behind it"
            )


def needs(section: str, node: Any) -> Iterator[str]:
    """What a stage that asks this model lacks on this machine; asked only where the stage is to be computed."""
    if isinstance(node, LocalModelConfig):
        yield from _device_faults(section, node.device)
    if not isinstance(node, EndpointConfig):
        return
    if find_spec("openai") is None:
        yield f'{section}.base_url={node.base_url}: the client is not installed; run pip install -e ".[http]"'
    if fault := key_fault(f"{section}.api_key_env", node.api_key_env):
        yield fault


def _device_faults(section: str, device: str | None) -> Iterator[str]:
    """A device that this machine does not have."""
    if device in (None, "cpu"):
        return
    import torch

    kind, _, index = str(device).partition(":")
    there = torch.backends.mps.is_available() if kind == "mps" else torch.cuda.device_count() > int(index or 0)
    if not there:
        yield f"{section}.device={device}: this machine has no such device; {section}.device=null takes what is there"
