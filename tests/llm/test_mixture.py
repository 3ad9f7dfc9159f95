"""A language model as the teacher of several environments: it is told the instructions of the one it plays."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.llm.server import MODEL, FakeServer

from depo_lightning import envs
from depo_lightning.agents.scripted import scripted_teacher
from depo_lightning.config import Config
from depo_lightning.pipeline import run
from depo_lightning.plan import plan
from depo_lightning.stages.context import Context
from depo_lightning.store import Store
from depo_lightning.trajectory import Status, read_jsonl

BOTH = ("babyai", "webshop")
SMALL = ("search.tasks=4", "search.simulations=1", "search.proposals=1", "search.max_depth=4")


def player(body: dict[str, Any], seed: int) -> str:
    """What the script of the environment says whose instructions the system text begins with."""
    system = body["messages"][0]
    if system["role"] != "system":
        return "ready"  # the question at the start
    (env,) = (name for name in BOTH if system["content"].startswith(envs.kind(name).system_prompt))
    return asyncio.run(scripted_teacher(env, noise=0.0, detour=0.0).propose(body["messages"], 1, seed))[0]


def test_a_language_model_searches_in_both(
    serve: Callable[..., FakeServer], compose_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    from depo_lightning.envs.webshop.nouns import Tagger

    monkeypatch.setattr(Tagger, "__call__", lambda _, title: title.lower().split())  # spares loading a tagger
    server = serve(answer=player)
    teacher = ("teacher=vllm", f"teacher.model={MODEL}", f"teacher.base_url={server.url}")
    place = ("env=babyai_webshop", "env.parts.webshop.products=30", "stages=[collect]", "logger=none")
    config = compose_config(*place, *teacher, *SMALL)
    run(config)
    found = read_jsonl(Store(config.store).path(plan(config, Context(config)).steps[0][2]) / "trajectories.jsonl")
    assert Counter(item.env for item in found) == {"babyai": 2, "webshop": 2}
    assert all(item.status is not Status.CRASHED for item in found)
    assert all(step.valid for item in found for step in item.steps)
