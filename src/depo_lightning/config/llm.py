"""Language models as teachers and rephrasers: groups `teacher`, `rephraser` and their `prompts`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from depo_lightning.choices import Proposing
from depo_lightning.config.collection import RephraserConfig, TeacherConfig


@dataclass
class LimitsConfig:
    """How a server is asked; nothing here changes what a stage results in."""

    concurrency: int = 16  # requests in flight
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float = 120.0
    retries: int = 10  # further attempts after a fault
    backoff_s: float = 1.0  # longest wait before the first of them; doubles up to
    max_backoff_s: float = 60.0
    budget_tokens: int | None = None  # of the stage, over all its starts
    budget_cost: float | None = None  # the same, in the currency of the prices


@dataclass
class PricesConfig:
    """Per million tokens."""

    input: float | None = None
    cached_input: float | None = None  # null: as dear as other input
    output: float | None = None


@dataclass
class ExchangeConfig:
    """An example: what the user says, and how the assistant answers."""

    user: str = MISSING
    assistant: str = MISSING


@dataclass
class TeacherPromptsConfig:
    """What a teacher is told besides the conversation."""

    system: str = MISSING  # {instructions}: the environment's own
    repair: str = MISSING  # answers a turn that cannot be read
    distinct: str = MISSING  # with proposals=distinct, after the observation; {earlier}: the actions proposed so far
    examples: list[ExchangeConfig] = field(default_factory=list)  # what the conversation begins with


@dataclass
class RephraserPromptsConfig:
    """What a rephraser is told."""

    system: str = MISSING
    question: str = MISSING  # {thought} and {action} of a step
    examples: list[ExchangeConfig] = field(default_factory=list)  # such questions and good answers, before it


@dataclass
class EndpointConfig:
    """An OpenAI-compatible chat endpoint. The key is in an environment variable and nowhere else."""

    base_url: str = MISSING
    model: str | None = None
    api_key_env: str | None = None  # name of the variable; null: the server wants no key
    temperature: float | None = 0.7
    top_p: float | None = None
    max_tokens: int = 512  # of one answer
    max_tokens_field: str = "max_tokens"
    native_n: bool = False  # one request for several answers, where the server can
    send_seed: bool = True
    extra_body: dict[str, Any] = field(default_factory=dict)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    prices: PricesConfig = field(default_factory=PricesConfig)


@dataclass
class LocalModelConfig:
    """A Hugging Face model in this process."""

    model: str | None = None  # a directory, or a name on the hub
    gguf_file: str | None = None
    dtype: str = "auto"
    device: str | None = None  # null: a GPU where there is one
    batch_size: int = 8
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512


@dataclass
class EndpointTeacherConfig(EndpointConfig, TeacherConfig):
    name: str = "endpoint"
    proposals: Proposing = Proposing.samples
    prompts: TeacherPromptsConfig = field(default_factory=TeacherPromptsConfig)


@dataclass
class LocalTeacherConfig(LocalModelConfig, TeacherConfig):
    name: str = "local"
    proposals: Proposing = Proposing.samples
    prompts: TeacherPromptsConfig = field(default_factory=TeacherPromptsConfig)


@dataclass
class EndpointRephraserConfig(EndpointConfig, RephraserConfig):
    name: str = "endpoint"
    temperature: float | None = 0.0
    max_tokens: int = 128
    prompts: RephraserPromptsConfig = field(default_factory=RephraserPromptsConfig)


@dataclass
class LocalRephraserConfig(LocalModelConfig, RephraserConfig):
    name: str = "local"
    temperature: float = 0.0
    max_tokens: int = 128
    prompts: RephraserPromptsConfig = field(default_factory=RephraserPromptsConfig)


SCHEMAS = (
    ("teacher", "endpoint_schema", EndpointTeacherConfig),
    ("teacher", "local_schema", LocalTeacherConfig),
    ("rephraser", "endpoint_schema", EndpointRephraserConfig),
    ("rephraser", "local_schema", LocalRephraserConfig),
)
