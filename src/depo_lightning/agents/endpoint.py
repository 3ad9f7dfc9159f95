"""Any OpenAI-compatible chat endpoint, asked so that its limits hold and its faults cost time, not data."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any

from depo_lightning.agents.account import Account
from depo_lightning.agents.chat_model import Messages, Reply, derived_seed
from depo_lightning.agents.http_client import connect
from depo_lightning.agents.http_key import told
from depo_lightning.agents.pacing import Limits, Pacer, retry_after
from depo_lightning.agents.response import BadResponse, error_code, error_text, read_reply
from depo_lightning.agents.usage import total
from depo_lightning.errors import ConfigError, DepoError, MachineError

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError

_PROBE = ({"role": "user", "content": "Answer with one word: ok"},)
_EMPTY_TRIES = 5  # a model may mean it, so asking for ever would not help
_PASSING = frozenset({408, 409, 425, 429, *range(500, 600)})  # states of a server that pass
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_LONGEST_PAUSE_S = 600.0


@dataclass(frozen=True)
class EndpointSettings:
    """Which model is asked, where, and how it samples.

    Attributes:
        base_url: up to and including `/v1`.
        model: its name there.
        temperature, top_p: None leaves them to the server.
        max_tokens: of one answer.
        max_tokens_field: what the server calls that; OpenAI's newer models want `max_completion_tokens`.
        native_n: one request for several answers (`n`), instead of one request each.
        send_seed: pass a seed, for servers that know it.
        extra_body: further fields of the request, such as a server's switch for reasoning.
        key_name: the environment variable that holds the key, for messages.
        key: the key itself, in no message and no `repr`; None for servers that want none.
    """

    base_url: str
    model: str
    temperature: float | None = 0.7
    top_p: float | None = None
    max_tokens: int = 512
    max_tokens_field: str = "max_tokens"
    native_n: bool = False
    send_seed: bool = True
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    key_name: str | None = None
    key: str | None = field(default=None, repr=False)


class _Fault(Exception):
    """A request that failed and may succeed when asked again."""

    def __init__(self, kind: str, text: str = "", pause: float | None = None) -> None:
        super().__init__(kind)
        self.kind, self.text, self.pause = kind, text, pause


class _Page(_Fault):
    """HTML instead of an answer: of an overloaded proxy, or of a URL that is no API at all."""


class _Refused(Exception):
    """The server will not answer this question, now or ever."""


class Endpoint:
    """A `ChatModel` behind HTTP.

    Entering asks one tiny question, so that a wrong URL, key or model ends the run before it begins. A fault is met by
    asking again with the same seed, after a growing pause or the one that the server asks for; each is in the account.

    Raises (`__aenter__`, `ask`):
        ConfigError: wrong URL, key or model, or settings that the server does not accept.
        MachineError: no answer after all attempts, or the budget is used up.
    """

    def __init__(self, settings: EndpointSettings, limits: Limits, account: Account) -> None:
        self.settings, self.limits, self.account = settings, limits, account
        self._what = account.what  # the section of the configuration, for messages
        self._rng = Random()  # of pauses only: nothing of a result depends on it

    async def __aenter__(self) -> Endpoint:
        self._pacer = Pacer(self.limits)
        # It repeats nothing: that is done here, where faults are counted.
        self._client = connect(self.settings.base_url, self.settings.key, self.limits.timeout_s)
        try:
            await self._request(_PROBE, 1, 0, probing=True)
        except _Refused as refusal:
            await self._client.close()
            raise ConfigError(self._told(f"does not accept the request: {refusal}")) from None
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, messages: Messages, count: int, seed: int) -> Reply:
        """See `ChatModel.ask`."""
        replies: list[Reply] = []
        missing = count
        if self.settings.native_n and count > 1:
            replies.append(await self._answered(messages, count, derived_seed(seed, "all")))
            missing -= len(replies[0].answers)
            if replies[0].refused:
                return replies[0]
        replies += await _together(
            [self._answered(messages, 1, derived_seed(seed, index)) for index in range(count - missing, count)]
        )
        answers = tuple(answer for reply in replies for answer in reply.answers)
        refused = next((reply.refused for reply in replies if reply.refused), "")
        return Reply(answers[:count], total(reply.usage for reply in replies), refused)

    async def _answered(self, messages: Messages, count: int, seed: int) -> Reply:
        try:
            return await self._request(messages, count, seed)
        except _Refused as refusal:
            self.account.refuse(str(refusal))
            return Reply((), total(()), str(refusal))

    async def _request(self, messages: Messages, count: int, seed: int, probing: bool = False) -> Reply:
        """One question until it is answered. A probe's is not asked again where nothing listens."""
        body = self._body(messages, count, seed)
        used = total(())  # of answers that came to nothing too: they are paid for
        empty = 0
        for attempt in range(self.limits.retries + 1):
            try:
                reply = await self._send(body)
            except _Fault as problem:
                self.account.fault(problem.kind)
                fault = problem
                if probing and isinstance(problem, _Page):
                    raise ConfigError(
                        self._told("answers with a web page, not as a chat endpoint; most URLs end in /v1")
                    ) from None
                if probing and problem.kind == "connection failed":
                    raise MachineError(self._told(f"cannot be reached{_colon(problem.text)}; {_START}")) from None
            else:
                used += reply.usage
                useless = [answer.fault or "empty content" for answer in reply.answers if not answer.text.strip()]
                if probing or not useless:
                    return Reply(reply.answers, used)
                empty += 1
                if empty == _EMPTY_TRIES or attempt == self.limits.retries:
                    self.account.found_empty()
                    return Reply(reply.answers, used)
                self.account.fault(useless[0])
                continue
            if attempt < self.limits.retries:
                if fault.pause is not None:
                    self._pacer.pause(fault.pause)
                # A wish for no pause, or for one that a wrong clock puts in the past, must not use up the attempts.
                await asyncio.sleep(fault.pause or self.limits.backoff(attempt, self._rng))
        raise MachineError(
            self._told(
                f"gave no answer in {self.limits.retries + 1} attempts, the last: {fault.kind}{_colon(fault.text)}"
                "; what is finished is kept, and the same command goes on from there"
            )
        )

    def _body(self, messages: Messages, count: int, seed: int) -> dict[str, Any]:
        settings = self.settings
        wanted = {"temperature": settings.temperature, "top_p": settings.top_p}
        body: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        body |= {"model": settings.model, "messages": list(messages), settings.max_tokens_field: settings.max_tokens}
        if count > 1:
            body["n"] = count
        if settings.send_seed:
            body["seed"] = seed
        if settings.extra_body:
            body["extra_body"] = dict(settings.extra_body)
        return body

    async def _send(self, body: dict[str, Any]) -> Reply:
        """One request, at its turn."""
        import openai

        async with self._pacer.turn():
            self.account.check()
            self.account.sent()
            try:
                async with asyncio.timeout(self.limits.timeout_s):
                    raw = await self._client.chat.completions.with_raw_response.create(**body)
                reply = read_reply(raw.text, body["messages"])
            except (TimeoutError, openai.APITimeoutError):
                raise _Fault("timeout") from None
            except openai.APIConnectionError as error:
                raise self._connection_fault(error) from None
            except openai.APIStatusError as error:
                raise await self._status_error(error) from None
            except BadResponse as error:
                kind = _Page if raw.text.lstrip().startswith("<") else _Fault
                raise kind(str(error)) from None
        self.account.answered(reply.usage, reply.estimated)
        self._pacer.spent(reply.usage.tokens)
        return reply

    def _connection_fault(self, error: APIConnectionError) -> _Fault:
        """Nothing listening, or a connection that broke while it was used."""
        refused = type(error.__cause__).__name__ == "ConnectError"  # of whichever HTTP library the client is built on
        kind = "connection failed" if refused else "connection lost"
        return _Fault(kind, self._clean(str(error.__cause__ or "")))

    async def _status_error(self, error: APIStatusError) -> Exception:
        """What an error of the server means: a passing fault, a refusal, or the end of the run."""
        status, body = error.status_code, error.response.text
        text = error_text(body, self.settings.key)
        if status == 402 or error_code(body) in _NO_CREDIT:
            return MachineError(self._told(f"is out of credit: {text}; what is finished is kept"))
        if status in (401, 403):
            key = f"the key in {self.settings.key_name}" if self.settings.key else "a request without a key"
            return ConfigError(
                self._told(
                    f"refuses {key} (HTTP {status}{_colon(text)}); set {self._what}.api_key_env to the variable that "
                    "holds one with access; what is finished is kept"
                )
            )
        if status == 405:
            return ConfigError(self._told(f"has no chat endpoint (HTTP 405: {text}); most URLs end in /v1"))
        if status == 404:
            return await self._not_found(text)
        if status in _PASSING:
            wish = retry_after(error.response.headers.get("retry-after"), _LONGEST_PAUSE_S)
            return _Fault(f"HTTP {status}", text, wish)
        return _Refused(f"HTTP {status}: {text}")

    async def _not_found(self, text: str) -> DepoError:
        """Whether the URL is wrong, or only the model: a server that lists its models has the right URL."""
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                names = [self._clean(str(model.id)) for model in (await self._client.models.list()).data]
        except Exception:  # of a question that is asked for a better message only
            return ConfigError(self._told(f"has no chat endpoint (HTTP 404: {text}); most URLs end in /v1"))
        listed = ", ".join(names[:10]) or "none"
        return ConfigError(
            self._told(f"has no model {self.settings.model!r} ({text}); set {self._what}.model; it lists: {listed}")
        )

    def _told(self, text: str) -> str:
        return f"{self._what}.base_url={self._clean(self.settings.base_url)}: {text}"

    def _clean(self, text: str) -> str:
        return told(text, self.settings.key)


_START = "start the server, or correct the URL"


def _colon(text: str) -> str:
    return f": {text}" if text else ""


async def _together(questions: list[Coroutine[Any, Any, Reply]]) -> list[Reply]:
    """Ask all at once; the first error cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(question) for question in questions]
    except BaseExceptionGroup as problems:
        raise problems.exceptions[0] from None
    return [task.result() for task in tasks]
