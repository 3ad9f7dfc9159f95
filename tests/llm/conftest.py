"""Loopback servers, and an endpoint that does not wait long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.llm.server import MODEL, FakeServer

from depo_lightning.agents.account import Account, Budget, Prices
from depo_lightning.agents.endpoint import Endpoint, EndpointSettings
from depo_lightning.agents.pacing import Limits


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    """Starts fake servers, and stops them after the test."""
    running: list[FakeServer] = []

    def start(**kwargs: Any) -> FakeServer:
        running.append(FakeServer(**kwargs))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def endpoint_of(tmp_path: Path) -> Callable[..., Endpoint]:
    """Builds an endpoint for a server; keywords go to where they belong."""

    def build(server: FakeServer | str, **kwargs: Any) -> Endpoint:
        def of(kind: type) -> dict[str, Any]:
            return {name: kwargs[name] for name in kind.__dataclass_fields__ if name in kwargs}

        url = server if isinstance(server, str) else server.url
        settings = {"base_url": url, "model": MODEL, **of(EndpointSettings)}
        limits = {"timeout_s": 0.5, "retries": 3, "backoff_s": 0.01, **of(Limits)}
        budget = Budget(kwargs.get("budget_tokens"), kwargs.get("budget_cost"))
        account = Account("teacher", MODEL, Prices(**kwargs.get("prices", {})), budget, kwargs.get("file"))
        return Endpoint(EndpointSettings(**settings), Limits(**limits), account)

    return build
