"""Episodes over HTTP are the local engine's; what a server may do wrong has a name."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.rollouts.fake_server import HUNG_UP, Answer, FakeServer, fault, said, serve
from tests.rollouts.letters import LETTERS, MODEL, RENDERER
from tests.rollouts.world import TASKS, FakeEnv, record

from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.rollouts import RolloutSettings, ServerSettings, play, play_on_server
from depo_lightning.rollouts.sampling import turn_seed
from depo_lightning.trajectory import Status, Trajectory

pytest.importorskip("openai")
SETTINGS = RolloutSettings(max_steps=5, max_new_tokens=12, temperature=0.0, batch_size=8, max_context=700)


def generate(request: dict[str, Any]) -> Answer:
    """What a real server does: render with the chat template, generate by `generate`, decode."""
    ids = LETTERS.apply_chat_template(
        request["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    assert request["temperature"] == 0
    with torch.inference_mode():
        whole = MODEL.generate(
            **ids, max_new_tokens=request["max_tokens"], do_sample=False, eos_token_id=RENDERER.eot_id, pad_token_id=0
        )
    turn = whole[0, ids["input_ids"].shape[1] :].tolist()
    ended = turn[-1] == RENDERER.eot_id
    more = {"token_ids": turn} if request.get("return_token_ids") else {}
    return said(LETTERS.decode(turn, skip_special_tokens=True), "stop" if ended else "length", **more)


def failing_for(task: int, bad: Answer, attempts: list[str]) -> Callable[[dict[str, Any]], Answer]:
    """Answers every episode but that of `task`, which gets `bad`; notes each such answer."""
    unlucky = FakeEnv().reset(task)

    def chat(body: dict[str, Any]) -> Answer:
        if body["messages"][1]["content"] != unlucky:
            return said("Action: go")
        attempts.append("once")
        return bad

    return chat


def asked(fake: FakeServer, **values: Any) -> ServerSettings:
    return ServerSettings(base_url=fake.url, model="m", **{"retries": 1, "concurrency": 4, "timeout": 20.0, **values})


@pytest.mark.parametrize("extra_body", [{"return_token_ids": True}, None], ids=["ids told", "ids counted"])
def test_greedy_episodes_equal_the_local_engines(extra_body: dict[str, Any] | None) -> None:
    tasks = TASKS[:8]
    local = play(MODEL, RENDERER, FakeEnv, tasks, SETTINGS)
    with serve(generate, "m") as fake:
        served = play_on_server(RENDERER, FakeEnv, tasks, SETTINGS, asked(fake, extra_body=extra_body))
    assert record(served) == record(local)
    tokens = {step.tokens for episode in local for step in episode.steps}
    assert 12 in tokens  # turns that were cut off
    assert len(tokens) > 3  # and turns that ended
    assert any(step.action for episode in local for step in episode.steps)
    assert {episode.status for episode in local} == {Status.FINISHED, Status.TRUNCATED}
    for episode in served:
        assert len(episode.extra["turn_seconds"]) == episode.t_step
        assert episode.extra["seconds"] >= sum(episode.extra["turn_seconds"]) > 0


def test_a_context_that_is_outgrown_ends_the_episode_as_locally() -> None:
    narrow = replace(SETTINGS, max_context=260, max_steps=9)
    local = play(MODEL, RENDERER, FakeEnv, TASKS[:8], narrow)
    with serve(generate, "m") as fake:
        assert record(play_on_server(RENDERER, FakeEnv, TASKS[:8], narrow, asked(fake))) == record(local)
    assert "max_context" in {episode.extra.get("reason") for episode in local}


def test_what_is_asked() -> None:
    class Lasting(FakeEnv):
        end_chance = 0.0

    with serve(lambda body: said("Action: go"), "m") as fake:
        settings = replace(SETTINGS, temperature=0.5, max_steps=2, seed=7)
        played = play_on_server(RENDERER, Lasting, [3], settings, asked(fake, extra_body={"top_k": -1}))
        played += play_on_server(RENDERER, Lasting, [3], settings, asked(fake))
    assert record(played[:1]) == record(played[1:])
    first, second = fake.requests[:2]
    assert first["messages"] == [
        {"role": "system", "content": "Find the ball."},
        {"role": "user", "content": FakeEnv().reset(3)},
    ]
    assert [message["role"] for message in second["messages"][2:]] == ["assistant", "user"]
    fields = {name: first[name] for name in ("model", "max_tokens", "temperature", "top_p", "seed", "top_k")}
    assert fields == {
        "model": "m",
        "max_tokens": 12,
        "temperature": 0.5,
        "top_p": 1.0,
        "seed": turn_seed(7, 3, 0),
        "top_k": -1,
    }
    assert second["seed"] == turn_seed(7, 3, 1) != first["seed"]
    assert 0 <= first["seed"] < 2**31
    assert "top_k" not in fake.requests[2]


def test_a_turn_counts_its_end_whether_or_not_the_server_tells_it() -> None:
    text = "Action: go"
    whole = RENDERER.turn_ids(text)
    for ids in (whole, whole[:-1], None):
        with serve(lambda body, ids=ids: said(text, token_ids=ids), "m") as fake:
            played = play_on_server(RENDERER, FakeEnv, [0], replace(SETTINGS, max_steps=1), asked(fake))
        assert [step.tokens for step in played[0].steps] == [len(whole)]


def test_no_more_episodes_are_in_flight_than_allowed() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def slow(body: dict[str, Any]) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        return said("Action: go")

    with serve(slow, "m") as fake:
        played = play_on_server(
            RENDERER, FakeEnv, TASKS[:6], replace(SETTINGS, max_steps=1), asked(fake, concurrency=3)
        )
    assert most == 3
    assert all(episode.extra["turn_seconds"][0] >= 0.05 for episode in played)


def test_a_request_that_fails_for_good_crashes_its_episode_only() -> None:
    attempts: list[str] = []
    reported: list[Trajectory] = []
    with serve(failing_for(2, fault(500, "out of luck"), attempts), "m") as fake:
        played = play_on_server(RENDERER, FakeEnv, [1, 2, 3], SETTINGS, asked(fake, retries=2), reported.append)
    assert len(attempts) == 3
    crashed = played[1]
    assert (crashed.status, crashed.reward, crashed.steps) == (Status.CRASHED, 0.0, ())
    assert "500" in crashed.error
    assert "out of luck" in crashed.error
    assert Status.CRASHED not in {played[0].status, played[2].status}
    assert sorted(episode.task for episode in reported) == [1, 2, 3]


def test_a_fault_that_passes_is_retried() -> None:
    faults = iter([fault(429, "slow down"), fault(503, "loading")])
    with serve(lambda body: next(faults, said("Action: go")), "m") as fake:
        played = play_on_server(RENDERER, FakeEnv, [0], replace(SETTINGS, max_steps=1), asked(fake, retries=3))
    assert played[0].error == ""
    assert len(fake.requests) == 3


def refused(fake: FakeServer, kind: type[Exception], **values: Any) -> str:
    with pytest.raises(kind) as caught:
        play_on_server(RENDERER, FakeEnv, TASKS[:4], SETTINGS, asked(fake, **values))
    return str(caught.value)


def test_a_model_that_is_not_served_is_told_with_those_that_are() -> None:
    with serve(lambda body: fault(404, "The model `m` does not exist."), "bc", "kto") as fake:
        told = refused(fake, ConfigError)
    assert "served are: bc, kto" in told
    assert "rollout.models" in told


def test_no_server_and_no_api_there() -> None:
    with serve(generate, "m") as fake:
        told = refused(replace(fake, url=fake.url.removesuffix("/v1")), ConfigError)
        assert "usually ends in /v1" in told
    told = refused(fake, MachineError)  # it has gone
    assert "no server answers" in told
    assert fake.url in told


def test_a_lost_connection_crashes_its_episode_but_a_lost_server_ends_the_rollout() -> None:
    with serve(lambda body: (HUNG_UP, None), "m") as fake:
        played = play_on_server(RENDERER, FakeEnv, [0], SETTINGS, asked(fake, retries=1))
        assert played[0].status is Status.CRASHED
        assert "no connection, 1 times retried" in played[0].error
        assert len(fake.requests) == 2

        def dies(body: dict[str, Any]) -> Answer:
            fake.gone = True
            return HUNG_UP, None

        fake.chat = dies
        assert "no server answers" in refused(fake, MachineError, retries=0)


def test_a_context_that_the_server_does_not_read() -> None:
    with serve(generate, "m", max_model_len=512) as fake:
        told = refused(fake, ConfigError)
        assert "rollout.max_context=700" in told
        assert "512" in told
        fake.models = [{"id": "base", "object": "model", "max_model_len": 512}, {"id": "m", "parent": "base"}]
        assert "512" in refused(fake, ConfigError)


def test_a_server_that_cannot_list_its_models_plays_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(lambda body: said("Action: go"), "m") as fake:
        answer = fake.answer
        monkeypatch.setattr(
            fake, "answer", lambda method, *rest: fault(500, "no list") if method == "GET" else answer(method, *rest)
        )
        assert play_on_server(RENDERER, FakeEnv, [0], SETTINGS, asked(fake))[0].error == ""
        fake.chat = lambda body: fault(404, "no such model")
        assert "it does not tell" in refused(fake, ConfigError)


def test_the_key_is_sent_and_told_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "sk-canary")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    with serve(lambda body: fault(500, "key sk-canary is tired"), "m", key="sk-canary") as fake:
        played = play_on_server(RENDERER, FakeEnv, [0], SETTINGS, asked(fake, api_key_env="CANARY", retries=0))
        assert "key *** is tired" in played[0].error
        fake.key = "sk-other"
        told = refused(fake, ConfigError, api_key_env="CANARY")
        assert "rollout.api_key_env=CANARY" in told
        assert "sk-" not in told
        assert "sk-another" not in refused(fake, ConfigError)


def test_vllm_loads_an_adapter_and_drops_it(tmp_path: Path) -> None:
    with serve(lambda body: said("Action: go"), "base") as fake:
        play_on_server(RENDERER, FakeEnv, [0], SETTINGS, asked(fake), adapter=tmp_path)
        name = {"lora_name": "m"}
        assert fake.loaded == [
            ("load_lora_adapter", {**name, "lora_path": str(tmp_path)}),
            ("unload_lora_adapter", name),
        ]
        fake.load = lambda body: fault(400, "LoRA rank 64 is greater than max_lora_rank 16.")
        with pytest.raises(ConfigError, match="max_lora_rank 16") as caught:
            play_on_server(RENDERER, FakeEnv, [0], SETTINGS, asked(fake), adapter=tmp_path)
        assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in str(caught.value)
        fake.load = lambda body: (HUNG_UP, None)
        with pytest.raises(MachineError, match=r"raise rollout\.timeout"):
            play_on_server(RENDERER, FakeEnv, [0], SETTINGS, asked(fake, retries=0), adapter=tmp_path)


def test_wrong_tasks_and_none() -> None:
    nowhere = ServerSettings(base_url="http://127.0.0.1:9/v1", model="m")
    assert play_on_server(RENDERER, FakeEnv, [], SETTINGS, nowhere) == []
    with pytest.raises(ConfigError, match="more than once"):
        play_on_server(RENDERER, FakeEnv, [1, 1], SETTINGS, nowhere)


def test_it_plays_inside_a_running_loop() -> None:
    async def notebook(fake: FakeServer) -> list[Trajectory]:
        return play_on_server(RENDERER, FakeEnv, [0], SETTINGS, asked(fake))

    with serve(lambda body: said("Action: go"), "m") as fake:
        assert asyncio.run(notebook(fake))[0].t_step >= 1
