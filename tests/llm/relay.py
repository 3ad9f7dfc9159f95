"""A relay before a real server: what was asked and what was answered, both to the letter."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.llm.server import FakeServer


class Relay(FakeServer):
    """Passes requests on to the server at `upstream` (with its `/v1`), and its answers back.

    Attributes:
        answers, bodies: as of a `FakeServer`; answers that came after their client was killed are among them.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self.upstream = upstream

    def respond(self, handler: Any, body: dict[str, Any]) -> None:
        with self._lock:
            self.bodies.append(body)
        url = self.upstream + handler.path.removeprefix("/v1")
        request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urlopen(request) as response:
                status, text = response.status, response.read().decode()
        except HTTPError as error:
            status, text = error.code, error.read().decode()
        else:
            with self._lock:
                self.answers |= {choice["message"]["content"] for choice in json.loads(text)["choices"]}
        with suppress(OSError):  # the client is gone
            handler._send(status, text)
