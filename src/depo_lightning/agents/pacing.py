"""How fast a server may be asked: requests at a time, requests and tokens per minute, and the pauses it demands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random


@dataclass(frozen=True, slots=True)
class Limits:
    """How a server is asked.

    Attributes:
        concurrency: requests in flight.
        requests_per_minute, tokens_per_minute: None is no limit. Tokens are known once an answer is there, so it is
            the requests after it that wait for their minute.
        timeout_s: for one request, from sending it to having the whole answer.
        retries: further attempts after a fault.
        backoff_s, max_backoff_s: longest wait before the first further attempt; it doubles up to the maximum.
    """

    concurrency: int = 16
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float = 120.0
    retries: int = 10
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0

    def backoff(self, attempt: int, rng: Random) -> float:
        """Seconds to wait after the fault of attempt number `attempt` (from 0): between half and all of the bound.

        Random, so that requests that failed together do not come back together.
        """
        bound = min(self.backoff_s * 2 ** min(attempt, 30), self.max_backoff_s)
        return bound * (0.5 + 0.5 * rng.random())


class Pacer:
    """Lets requests through one by one as the limits allow; belongs to one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._next_request = self._next_token = self._resume = 0.0  # times of `time.monotonic`

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, and hold one of the places meanwhile."""
        async with self._slots:
            while (wait := max(self._next_request, self._next_token, self._resume) - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if self._limits.requests_per_minute:
                self._next_request = time.monotonic() + 60 / self._limits.requests_per_minute
            yield

    def spent(self, tokens: int) -> None:
        """Tell what an answer cost."""
        if self._limits.tokens_per_minute:
            start = max(self._next_token, time.monotonic())
            self._next_token = start + 60 * tokens / self._limits.tokens_per_minute

    def pause(self, seconds: float) -> None:
        """Nobody asks for so long: what a server means by `Retry-After` holds for all requests."""
        self._resume = max(self._resume, time.monotonic() + seconds)


def retry_after(value: str | None, longest: float) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or a date; None without one that can be read.

    Args:
        value: the header.
        longest: what a longer wish is cut to.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), longest) if seconds == seconds else None
