"""Group `rollout`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Backend(StrEnum):
    """Who plays the evaluation: the model in this process, or a server."""

    local = "local"
    server = "server"


@dataclass
class RolloutConfig:
    backend: Backend = Backend.local
    test_tasks: int = 300
    validation_tasks: int = 60
    split: str = "test"  # the tasks that the evaluation plays: test, or validation to choose settings
    max_steps: int = 20
    max_new_tokens: int = 64
    temperature: float = 0.7
    batch_size: int = 128
    max_context: int = 1024
    seed: int = 0
    workers: int | None = None  # processes that share the episodes of a model on the CPU; null: the job's cores


def _whole_distribution() -> dict[str, Any]:
    # Servers take top_k and the like from the model's generation_config.json, unless they are told otherwise.
    return {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "return_token_ids": True}


@dataclass
class ServedModels:
    """What the server calls the policies."""

    bc: str = "bc"
    filtered_bc: str = "filtered_bc"
    kto: str = "kto"
    depo: str = "depo"
    undesirable_penalty: str = "undesirable_penalty"
    margin: str = "margin"
    weight: str = "weight"


@dataclass
class ServerRolloutConfig(RolloutConfig):
    """Evaluation by an OpenAI-compatible server: vLLM, SGLang and others. Validation in training stays local."""

    backend: Backend = Backend.server
    base_url: str = "http://localhost:8000/v1"
    api_key_env: str | None = None  # the environment variable that holds the key, where the server wants one
    models: ServedModels = field(default_factory=ServedModels)
    load_adapters: bool = False  # let vLLM load each adapter from the store, under a name of its own
    concurrency: int = 64  # episodes in flight
    timeout: float = 120.0  # seconds for one request
    retries: int = 5  # of a request that met no connection, a timeout, 408, 409, 429, 5xx, or an answer that is none
    extra_body: dict[str, Any] | None = field(default_factory=_whole_distribution)  # null: OpenAI's own fields only


SCHEMAS = (("rollout", "server_schema", ServerRolloutConfig),)
