"""A teacher that refuses questions: nothing is published of what lacks their answers, and they are asked again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.llm.server import MODEL, FakeServer

from depo_lightning.config import Config
from depo_lightning.errors import MachineError
from depo_lightning.pipeline import run
from depo_lightning.plan import plan
from depo_lightning.stages.context import Context
from depo_lightning.stages.llm import check_broken
from depo_lightning.store import Store

SMALL = (
    *("stages=[collect]", "logger=none", "search.simulations=1", "search.proposals=1", "search.max_depth=3"),
    *("env.levels=[GoToRedBallGrey]", "teacher=vllm", f"teacher.model={MODEL}", "search.tasks=3"),
)
NO_SYSTEM = {"error": {"message": "System role not supported"}}
TOO_LONG = {"error": {"message": "maximum context length is 64 tokens", "code": "context_length_exceeded"}}


class ShortServer(FakeServer):
    """Takes conversations of a few messages, as a model with a short context does."""

    most = 99

    def respond(self, handler: Any, body: dict[str, Any]) -> None:
        if len(body["messages"]) > self.most:
            self.script.append((400, json.dumps(TOO_LONG), {}))
        super().respond(handler, body)


def test_an_outgrown_context_publishes_nothing_and_is_asked_again(compose_config: Callable[..., Config]) -> None:
    server = ShortServer()
    try:
        server.most = 1  # the probe alone
        config = compose_config(*SMALL, f"teacher.base_url={server.url}")
        with pytest.raises(MachineError, match=r"lost turns to refused questions, .*maximum context length") as caught:
            run(config)
        assert all(word in str(caught.value) for word in ("3 of 3", "search.max_depth", "teacher.max_tokens"))
        target: Path = Store(config.store).path(plan(config, Context(config)).steps[0][2])
        assert not target.exists()
        server.most = 99
        run(config)
    finally:
        server.close()
    rows = json.loads((target / "report.json").read_text())
    assert [row["paths"] for row in rows] == [1, 1, 1]
    assert not any(row["refused"] for row in rows)
    account = json.loads((target / "account.json").read_text())
    assert account["refused"] > 0
    assert "maximum context length" in account["refusal"]


def test_few_refusals_are_told_and_published(capsys: pytest.CaptureFixture[str]) -> None:
    check_broken([], 20, "searches lost turns", "be brief")
    check_broken(["too long"], 20, "searches lost turns", "be brief")
    assert "1 of 20 searches lost turns, the first with: too long; be brief" in " ".join(
        capsys.readouterr().out.split()
    )
    with pytest.raises(MachineError, match="nothing is published; be brief"):
        check_broken(["too long"], 19, "searches lost turns", "be brief")


def test_a_rephraser_that_refuses_publishes_nothing_and_is_asked_again(compose_config: Callable[..., Config]) -> None:
    class Choosy(FakeServer):
        refuses = "ball"

        def respond(self, handler: Any, body: dict[str, Any]) -> None:
            if self.refuses in body["messages"][-1]["content"]:
                self.script.append((400, json.dumps(NO_SYSTEM), {}))
            super().respond(handler, body)

    server = Choosy(answer=lambda body, seed: "I go on.")
    try:
        config = compose_config(
            *("stages=[collect,label,rephrase]", "logger=none", "search.tasks=12", "search.workers=1"),
            *("thresholds=relative", "rephraser=openai", f"rephraser.model={MODEL}", "rephraser.api_key_env=null"),
            f"rephraser.base_url={server.url}",
        )
        with pytest.raises(MachineError, match=r"desirable episodes lost answers to refused questions") as caught:
            run(config)
        for words in ("the first with: HTTP 400: System role not supported", "nothing is published", "rephraser."):
            assert words in str(caught.value)
        stages = {name: stage for _, name, stage in plan(config, Context(config)).steps}
        target = Store(config.store).path(stages["rephrase"])
        assert not target.exists()
        asked = len(server.bodies)
        server.refuses = "nothing that a thought holds"
        run(config)
    finally:
        server.close()
    report = json.loads((target / "report.json").read_text())
    assert report["refused"] == []
    assert "no answer" not in report["rejected"]
    # Episodes that lack an answer are asked for again, as wholes; those that were answered are not.
    assert 0 < len(server.bodies) - asked - 1 < report["steps"]
