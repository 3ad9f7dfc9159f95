"""Language models as the stages need them: built from the configuration, what of it stands in keys, their account."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from depo_lightning.agents.account import Account, Budget, Prices
from depo_lightning.agents.http_key import read_key
from depo_lightning.agents.prompts import Exchange
from depo_lightning.config.llm import EndpointConfig, LocalModelConfig
from depo_lightning.errors import MachineError
from depo_lightning.model_source import find_local
from depo_lightning.progress import console
from depo_lightning.stages.context import plain, settings
from depo_lightning.store import PROGRESS

if TYPE_CHECKING:
    from depo_lightning.agents.chat_model import ChatModel

T = TypeVar("T")
ACCOUNT = "account.json"
_BROKEN = 0.05  # share of a stage's work that may have failed where the rest is published
# The same model gives the same distribution, whoever serves it and however patiently it is asked.
_NO_IDENTITY = ("base_url", "api_key_env", "limits", "prices", "max_tokens_field", "device", "batch_size")
_IN_SOURCE = ("model", "gguf_file")  # of a model in this process: what tells its weights, wherever they lie


def is_llm(node: Any) -> bool:
    """Whether a node of the configuration describes a language model."""
    return isinstance(node, EndpointConfig | LocalModelConfig)


def llm_identity(section: str, node: Any) -> dict[str, Any]:
    """What of a teacher or rephraser can change its answers: model, sampling, prompts.

    Raises:
        ConfigError: a model for this process is not there.
    """
    if not is_llm(node):
        return plain(node, *([] if getattr(node, "parts", None) else ["parts"]))  # keys as before there were any
    identity = plain(node, *_NO_IDENTITY)
    if isinstance(node, LocalModelConfig):
        source = {"source": find_local(section, node).identity, "gguf_file": Path(node.gguf_file or "").name}
        identity = {**plain(node, *_NO_IDENTITY, *_IN_SOURCE), **source}
    if not identity["prompts"]["examples"]:  # as before there were any
        del identity["prompts"]["examples"]
    return identity


def told(kind: type[T], node: Any) -> T:
    """The prompts that a node describes, as `TeacherPrompts` or `RephraserPrompts`."""
    texts = dict(vars(node))
    texts["examples"] = tuple(Exchange(example.user, example.assistant) for example in node.examples)
    return kind(**texts)


def chat_model(node: Any, account: Account) -> ChatModel:
    """The model that a node describes. The key is read here and kept nowhere else."""
    if isinstance(node, EndpointConfig):
        from depo_lightning.agents.endpoint import Endpoint, EndpointSettings
        from depo_lightning.agents.pacing import Limits

        key = read_key(node.api_key_env)
        own = settings(EndpointSettings, node, key_name=node.api_key_env, key=key)
        return Endpoint(own, settings(Limits, node.limits), account)
    from depo_lightning.agents.local_chat import LocalChat, LocalSettings

    return LocalChat(settings(LocalSettings, node, revision=find_local(account.what, node).commit), account)


@contextmanager
def kept_account(section: str, node: Any, target: Path) -> Iterator[Account]:
    """The account of a stage: goes on from an earlier start, is printed at the end, becomes part of the artifact."""
    priced = isinstance(node, EndpointConfig)
    prices = settings(Prices, node.prices) if priced else Prices()
    budget = Budget(node.limits.budget_tokens, node.limits.budget_cost) if priced else Budget()
    (target / PROGRESS).mkdir(exist_ok=True)
    account = Account(section, node.model, prices, budget, target / PROGRESS / ACCOUNT)
    try:
        yield account
    finally:
        for line in account.lines():
            console.print(f"  {line}", markup=False, style="yellow" if line.startswith("WARNING") else "dim")
    (target / ACCOUNT).write_text(json.dumps(account.to_dict(), indent=1) + "\n")


def check_broken(reasons: Sequence[str], total: int, what: str, remedy: str = "") -> None:
    """A few broken pieces of work are told; more are not what was asked for, and not published.

    Args:
        reasons: one for each broken piece.
        total: number of pieces.
        what: they are, and befell them.
        remedy: for that.

    Raises:
        MachineError: more than one piece in twenty is broken.
    """
    if not reasons:
        return
    told = f"{len(reasons)} of {total} {what}, the first with: {reasons[0]}"
    advice = f"; {remedy}" if remedy else ""
    if len(reasons) > _BROKEN * total:
        raise MachineError(
            f"{told}; nothing is published{advice}. What a language model was asked for is kept: the same command "
            "does only these again"
        )
    console.print(f"  WARNING: {told}{advice}", markup=False, style="yellow")
