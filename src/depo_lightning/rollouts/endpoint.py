"""One model of an OpenAI-compatible server, through the official client; nothing else here knows that client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from depo_lightning.agents.chat import Message
from depo_lightning.agents.http_client import connect
from depo_lightning.agents.http_key import key_fault, read_key, told
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.rollouts.replies import BadReply, Reply, read_models, read_reply

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0  # before asking again what was answered badly; the client's own pauses are alike


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Which server is asked, and how.

    Attributes:
        base_url: up to `/v1`, where the server has that.
        model: the name that the server knows the policy by.
        api_key_env: the environment variable that holds the key; None where the server wants none.
        concurrency: episodes in flight.
        timeout: seconds for one request.
        retries: of a request that met no connection, a timeout, status 408, 409, 429 or 500 and above, or an answer
            that is no model's turn.
        extra_body: fields of the request beyond OpenAI's own.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    concurrency: int = 64
    timeout: float = 120.0
    retries: int = 5
    extra_body: Mapping[str, Any] | None = field(default_factory=dict)


class RequestFailed(Exception):
    """A request that failed for good, while the server lives; its episode ends there."""


class Endpoint:
    """Asks the server. An asynchronous context manager: use it inside only.

    Raises:
        ConfigError: the package `openai` is not installed, or the key is missing or cannot be sent.
    """

    def __init__(self, server: ServerSettings) -> None:
        if fault := key_fault("rollout.api_key_env", server.api_key_env):
            raise ConfigError(fault)
        self.server = server
        self._key = read_key(server.api_key_env)
        try:
            self._client = connect(server.base_url, self._key, server.timeout, server.retries)
        except ImportError as error:
            raise ConfigError(
                'rollout=server: the package openai is not installed; run pip install -e ".[http]"'
            ) from error

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def check(self, max_context: int) -> None:
        """See that the server answers, takes the key, and reads episodes of `max_context` tokens.

        Raises:
            ConfigError: it does not take the key, or reads less; or it is something else that answers there.
            MachineError: it does not answer.
        """
        longest = (await self._served()).get(self.server.model)
        if longest is not None and longest < max_context:
            raise ConfigError(
                f"rollout.max_context={max_context}: {self._name} reads {longest} tokens; lower it, or start the "
                "server with a larger --max-model-len"
            )

    async def complete(self, messages: Sequence[Message], max_tokens: int, temperature: float, seed: int) -> Reply:
        """The model's next turn.

        Raises:
            RequestFailed: see there.
            ConfigError: the server does not take the key or does not serve the model.
            MachineError: the server has gone.
        """
        request: dict[str, Any] = {
            "model": self.server.model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": 1.0,
            "seed": seed,
            "extra_body": dict(self.server.extra_body or {}),
        }
        return await self._answer(lambda client: client.chat.completions.with_raw_response.create(**request))

    async def load_adapter(self, path: Path) -> None:
        """Let vLLM load the adapter in `path` under the model's name, unless it has.

        Raises:
            ConfigError: it cannot or may not; names what it says. MachineError: it does not answer.
        """
        from openai import APIConnectionError, APIStatusError

        if self.server.model in await self._served():
            return
        body = {"lora_name": self.server.model, "lora_path": str(path)}
        try:
            await self._client.post("/load_lora_adapter", cast_to=str, body=body)
        except APIStatusError as error:
            raise ConfigError(
                f"rollout.load_adapters=true: {self.server.base_url} does not load {path}: {self._told(error)}; start "
                "vLLM with --enable-lora, a --max-lora-rank that is large enough, and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, on a machine that sees the store"
            ) from error
        except APIConnectionError as error:
            raise MachineError(
                f"rollout.load_adapters=true: {self.server.base_url} gave no answer when it was to load {path}: "
                f"{self._told(error)}; look whether it lives, or raise rollout.timeout={self.server.timeout}"
            ) from error

    async def unload_adapter(self) -> None:
        """Give the adapter's place free again; a server that does not know how keeps it."""
        from openai import OpenAIError

        try:
            body = {"lora_name": self.server.model}
            await self._client.post("/unload_lora_adapter", cast_to=str, body=body)
        except OpenAIError as error:
            logging.getLogger(__name__).info("%s was not unloaded: %s", self.server.model, self._told(error))

    async def _answer(self, ask: Callable[[AsyncOpenAI], Awaitable[Any]]) -> Reply:
        from openai import APIConnectionError, APITimeoutError, AuthenticationError, NotFoundError, OpenAIError
        from openai import PermissionDeniedError as Denied

        retried = f"{self.server.retries} times retried"
        try:
            return await self._read(ask, read_reply, self.server.retries)
        except BadReply as error:
            raise RequestFailed(f"{retried}, the server {self._told(error)}") from error
        except (AuthenticationError, Denied) as error:
            self._refused(error)
        except NotFoundError as error:
            served = self._told(", ".join(await self._served(late=True))) or "it does not tell"
            raise ConfigError(
                f"{self._name} is not served ({self._told(error)}); served are: {served}. Serve it under that name, or "
                "write the name it has into rollout.models"
            ) from error
        except APITimeoutError as error:
            raise RequestFailed(f"no answer within {self.server.timeout} s, {retried}") from error
        except APIConnectionError as error:
            await self._served(late=True)
            raise RequestFailed(f"no connection, {retried}") from error
        except OpenAIError as error:
            raise RequestFailed(self._told(error)) from error

    async def _served(self, late: bool = False) -> dict[str, int | None]:
        """See `read_models`; none where the server does not tell, as also one that has played (`late`) may.

        Raises:
            ConfigError: the server does not take the key, or is none of this kind. MachineError: it does not answer.
        """
        from openai import APIConnectionError, APIStatusError, AuthenticationError, NotFoundError
        from openai import PermissionDeniedError as Denied

        try:
            return await self._read(lambda client: client.models.with_raw_response.list(), read_models, retries=1)
        except (AuthenticationError, Denied) as error:
            self._refused(error)
        except (NotFoundError, BadReply) as error:
            if late:
                return {}
            raise ConfigError(
                f"rollout.base_url={self.server.base_url}: nothing lists models there ({self._told(error)}); an "
                "OpenAI-compatible address usually ends in /v1"
            ) from error
        except APIConnectionError as error:
            raise MachineError(
                f"rollout.base_url={self.server.base_url}: no server answers ({self._told(error)}); start it, or write "
                "the right address; the same command then goes on"
            ) from error
        except APIStatusError:
            return {}  # it lives, and does not tell

    async def _read(self, ask: Callable[[AsyncOpenAI], Awaitable[Any]], read: Callable[[str], T], retries: int) -> T:
        """What is read from the body of the answer; the client's retries and those for a bad body count together."""
        pause = _PAUSE_S
        while True:
            raw = await ask(self._client.with_options(max_retries=retries))
            try:
                return read(raw.text)
            except BadReply:
                retries -= raw.retries_taken + 1
                if retries < 0:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    @property
    def _name(self) -> str:
        return f"rollout.base_url={self.server.base_url}: model {self.server.model!r}"

    def _refused(self, error: Exception) -> NoReturn:
        held = f"rollout.api_key_env={self.server.api_key_env}"
        raise ConfigError(
            f"{held}: {self.server.base_url} refuses the key ({self._told(error)}); name the environment variable "
            "that holds the right one"
        ) from error

    def _told(self, words: object) -> str:
        return told(words, self._key)
