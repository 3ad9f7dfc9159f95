"""Bodies of status 200 that are no answer: asked again, then told, and no other episode is the worse for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.rollouts.fake_server import Answer, fault, said, serve
from tests.rollouts.letters import RENDERER
from tests.rollouts.test_server import SETTINGS, asked, failing_for, refused
from tests.rollouts.world import FakeEnv

from depo_lightning.errors import ConfigError
from depo_lightning.rollouts import endpoint, play_on_server
from depo_lightning.trajectory import Status

pytest.importorskip("openai")
ONE_TURN = replace(SETTINGS, max_steps=1)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_PAUSE_S", 0.01)


def with_choice(choice: Any) -> Answer:
    return 200, {"choices": [choice]}


BAD = {
    "truncated": ((200, b'{"id": "1", "choices": [{"ind'), "no JSON"),
    "HTML": ((200, b"<html>Down for maintenance</html>"), "Down for maintenance"),
    "nothing": ((200, b""), "nothing"),
    "too deep": ((200, b"[" * 100_000), "no JSON"),
    "null": ((200, None), "no JSON object"),
    "list": ((200, []), "no JSON object"),
    "error": ((200, {"error": {"message": "upstream is busy"}}), "upstream is busy"),
    "no choices": ((200, {"choices": []}), "no choice"),
    "a choice of another kind": (with_choice("go"), "no choice"),
    "no message": (with_choice({"finish_reason": "stop"}), "no text"),
    "a message of another kind": (with_choice({"finish_reason": "stop", "message": "go"}), "no text"),
    "content of another kind": (said(["go"]), "no text"),  # type: ignore[arg-type]
    "half a character": (said("go \ud800"), "no text"),
    "error in the turn": (said("Action: go", "error"), "finish_reason 'error'"),
    "filtered": (said("Action: go", "content_filter"), "finish_reason 'content_filter'"),
    "no end": (said("Action: go", None), "finish_reason None"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("bad", "words"), BAD.values(), ids=BAD)
def test_a_bad_body_crashes_its_episode_only(bad: Answer, words: str) -> None:
    attempts: list[str] = []
    with serve(failing_for(2, bad, attempts), "m") as fake:
        played = play_on_server(RENDERER, FakeEnv, [1, 2, 3], ONE_TURN, asked(fake, retries=2))
    assert len(attempts) == 3
    assert (played[1].status, played[1].steps) == (Status.CRASHED, ())
    assert played[1].error.startswith("RequestFailed: 2 times retried, the server answered with")
    assert words in played[1].error
    assert len(played[1].error) < 400
    assert Status.CRASHED not in {played[0].status, played[2].status}


def test_bad_bodies_and_other_faults_are_retried_together() -> None:
    faults = [(200, b"{"), fault(503, "loading"), said("Action: go", "error")]
    for retries, error in ((3, ""), (2, "finish_reason 'error'")):
        answers = iter(faults)
        with serve(lambda body, answers=answers: next(answers, said("Action: go")), "m") as fake:
            played = play_on_server(RENDERER, FakeEnv, [0], ONE_TURN, asked(fake, retries=retries))
        assert error in played[0].error
        assert bool(played[0].error) == bool(error)
        assert len(fake.requests) == retries + 1


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", None, [], {"data": "none"}])
def test_an_address_where_something_else_answers(body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(lambda body: said("Action: go"), "m") as fake:
        monkeypatch.setattr(fake, "answer", lambda *_: (200, body))
        told = refused(fake, ConfigError)
    assert f"rollout.base_url={fake.url}" in told
    assert "usually ends in /v1" in told


def test_a_listing_holds_what_it_likes_and_a_late_one_may_be_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = [None, {"id": 3}, {"id": "m", "max_model_len": "long", "parent": ["base"]}]
    with serve(lambda body: said("Action: go"), "m") as fake:
        fake.models = odd
        assert play_on_server(RENDERER, FakeEnv, [0], ONE_TURN, asked(fake))[0].error == ""

        def late(body: dict[str, Any]) -> Answer:
            fake.models = "torn"  # type: ignore[assignment]
            return 0, None

        fake.chat = late
        assert "no connection" in play_on_server(RENDERER, FakeEnv, [0], ONE_TURN, asked(fake, retries=0))[0].error
