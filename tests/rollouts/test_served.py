"""The evaluation stage on a server: what is asked of whom, what a stopped one keeps, and where a key never stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.rollouts.fake_server import Answer, FakeServer, fault, said, serve
from tests.rollouts.world import TOKENIZER

from depo_lightning.config import Config
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.plan import plan
from depo_lightning.stages.context import EPISODES, Context
from depo_lightning.stages.evaluate import evaluate_stage
from depo_lightning.store import Stage, Store
from depo_lightning.trajectory import Status, read_jsonl
from depo_lightning.validation import validate

pytest.importorskip("openai")
Compose = Callable[..., Config]
SMALL = ("rollout=server", "rollout.test_tasks=6", "rollout.max_steps=2", "rollout.concurrency=2", "rollout.retries=0")


def policy(adapter: bool = False) -> Stage:
    def save(target: Path, inputs: dict[str, Path]) -> None:
        TOKENIZER.save_pretrained(target)
        if adapter:
            (target / "adapter_config.json").write_text("{}")

    return Stage("bc", 1, {"adapter": adapter}, save)


def evaluation(config: Config, name: str = "bc", adapter: bool = False) -> Stage:
    source = policy(adapter)
    Store(config.store).get(source)
    return evaluate_stage(config, Context(config), name, source, source)


def go(body: dict[str, Any]) -> Answer:
    return said("Action: turn left")


def addressed(compose_config: Compose, fake: FakeServer, *overrides: str) -> Config:
    return compose_config(*SMALL, f"rollout.base_url={fake.url}", *overrides)


def test_a_stopped_evaluation_goes_on_with_the_tasks_that_are_left(compose_config: Compose) -> None:
    with serve(go, "bc") as fake:

        def dies(body: dict[str, Any]) -> Answer:
            fake.gone = len(fake.requests) > 6
            return go(body)

        fake.chat = dies
        config = addressed(compose_config, fake)
        with pytest.raises(MachineError, match="no server answers"):
            Store(config.store).get(evaluation(config))
        asked = len(fake.requests)
        fake.gone, fake.chat = False, go
        kept = list(Path(config.store).glob(".partial/*/.progress/*"))
        kept[0].write_text(kept[0].read_text() + '\n{"id": "torn')
        path = Store(config.store).get(evaluation(config)).path
        again = len(fake.requests) - asked
    episodes = read_jsonl(path / EPISODES)
    assert [episode.task for episode in episodes] == Context(config).make_env().tasks("test", 6)
    assert {episode.t_step for episode in episodes} == {2}
    assert 0 < again < 12
    assert sorted(path.name for path in path.iterdir()) == ["episodes.jsonl", "manifest.json", "stats.json"]


def test_a_mixture_is_played_as_its_environments(compose_config: Compose) -> None:
    with serve(go, "bc") as fake:
        config = addressed(compose_config, fake, "env=babyai_webshop", "env.parts.webshop.products=30")
        path = Store(config.store).get(evaluation(config)).path
        systems = {request["messages"][0]["content"] for request in fake.requests}
    env = Context(config).make_env()
    episodes = read_jsonl(path / EPISODES)
    assert [(episode.env, episode.task) for episode in episodes] == [env.origin(task) for task in env.tasks("test", 6)]
    assert {episode.system for episode in episodes} == systems
    assert len(systems) == 2


def test_crashed_episodes_are_stored_unless_they_are_all(compose_config: Compose) -> None:
    with serve(lambda body: fault(500, "no"), "bc") as fake:
        config = addressed(compose_config, fake)
        with pytest.raises(MachineError, match="all 6 episodes crashed"):
            Store(config.store).get(evaluation(config))
        fake.chat = lambda body: go(body) if len(fake.requests) > 8 else fault(500, "no")
        path = Store(config.store).get(evaluation(config)).path
    statuses = {episode.status for episode in read_jsonl(path / EPISODES)}
    assert statuses == {Status.CRASHED, Status.TRUNCATED}


def test_a_policy_is_asked_for_by_its_name(compose_config: Compose) -> None:
    with serve(go, "bc") as fake:
        for override, model in (("rollout.seed=0", "kto"), ("rollout.models.kto=mine:v2", "mine:v2")):
            config = addressed(compose_config, fake, override)
            Store(config.store).get(evaluation(config, "kto"))
            assert {request["model"] for request in fake.requests} == {model}
            fake.requests.clear()
        config = addressed(compose_config, fake, "rollout.load_adapters=true")
        stage = evaluation(config, "kto", adapter=True)
        Store(config.store).get(stage)
        (asked,) = {request["model"] for request in fake.requests}
        assert asked == f"kto-evaluate-{stage.key}"
        source = Store(config.store).path(stage.inputs["policy"])
        assert fake.loaded[0] == ("load_lora_adapter", {"lora_name": asked, "lora_path": str(source)})


def test_the_key_stands_in_no_file_and_no_output(
    compose_config: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CANARY", "sk-canary")

    def leaks(body: dict[str, Any]) -> Answer:
        return go(body) if len(fake.requests) > 3 else fault(500, "tired of sk-canary")

    with serve(leaks, "bc", key="sk-canary") as fake:
        config = addressed(compose_config, fake, "rollout.api_key_env=CANARY")
        validate(config)
        path = Store(config.store).get(evaluation(config)).path
    assert "tired of ***" in (path / EPISODES).read_text()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 5
    for file in files:
        assert b"sk-canary" not in file.read_bytes(), file
    assert "sk-canary" not in "".join(capfd.readouterr())


def test_keys_of_evaluations(compose_config: Compose) -> None:
    """The server's address and sampling make another evaluation; how patiently it is asked, or locally, does not."""

    def keys(*overrides: str) -> dict[str, str]:
        config = compose_config(*overrides)
        return {name: stage.key for _, name, stage in plan(config, Context(config)).steps}

    local, served = keys(), keys("rollout=server")
    changed = {name for name in local if local[name] != served[name]}
    assert changed == {name for name in local if name.startswith("evaluate ")}
    patient = ("rollout.concurrency=1", "rollout.timeout=1", "rollout.retries=0", "rollout.api_key_env=KEY")
    assert keys("rollout=server", *patient) == served
    for override in (
        "rollout.base_url=http://elsewhere/v1",
        "rollout.extra_body.top_k=9",
        "rollout.load_adapters=true",
    ):
        assert keys("rollout=server", override)["evaluate kto"] != served["evaluate kto"]
    renamed = keys("rollout=server", "rollout.models.kto=other")
    assert {name for name in served if renamed[name] != served[name]} == {"evaluate kto"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("rollout.backend=server",), ["rollout.backend=server", "rollout=server"]),
        (("rollout=server", "rollout.backend=local"), ["rollout.backend=local", "rollout=default"]),
        (("rollout=server", "rollout.base_url=localhost:8000"), ["rollout.base_url='localhost:8000'", "http://"]),
        (("rollout=server", "rollout.base_url=http://me:secret@host/v1"), ["user or password"]),
        (("rollout=server", "rollout.base_url=http://127.0.0.1:99999/v1"), ["rollout.base_url='http://127", "http://"]),
        (("rollout=server", "rollout.base_url='http://[::1/v1'"), ["rollout.base_url='http://[::1/v1'", "must be"]),
        (("rollout=server", "rollout.base_url='http://me:secret@[::1/v1'"), ["user or password"]),
        (("rollout=server", "rollout.base_url='http://:8000/v1'"), ["rollout.base_url='http://:8000/v1'"]),
        (("rollout=server", "rollout.base_url='http://me:sec/ret@host/v1'"), ["user or password"]),
        (("rollout=server", "rollout.api_key_env=NO_SUCH_KEY"), ["rollout.api_key_env=NO_SUCH_KEY", "export"]),
        (("rollout=server", "rollout.api_key_env=sk-secret"), ["not the key itself"]),
        (
            ("rollout=server", "rollout.api_key_env=gsk_secretCanary0123456789"),
            ["rollout.api_key_env", "not the key itself"],
        ),
        (("rollout=server", "rollout.concurrency=0", "rollout.timeout=0"), ["concurrency=0", "timeout=0"]),
    ],
)
def test_wrong_settings(overrides: tuple[str, ...], words: list[str], compose_config: Compose) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(compose_config(*overrides))
    for word in words:
        assert word in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "ret@" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (" \n", "or blank; export CANARY=…"),
        ("sk-\nsecret", "CANARY: the key in this environment variable holds blanks"),
        ("sk-sécret", "accents"),
        ("sk secret", "blanks"),
    ],
)
def test_a_key_that_cannot_be_sent(
    key: str, words: str, compose_config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", key)
    server = "rollout.base_url=http://127.0.0.1:9/v1"
    config = compose_config(*SMALL, server, "rollout.api_key_env=CANARY")
    for refuse in (lambda: validate(config), lambda: Store(config.store).get(evaluation(config))):
        with pytest.raises(ConfigError, match=r"rollout\.api_key_env=CANARY") as caught:
            refuse()
        assert words in str(caught.value)
        assert "cret" not in str(caught.value)


def test_a_key_may_end_with_its_line(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", " sk-canary\r\n")
    with serve(go, "bc", key="sk-canary") as fake:
        config = addressed(compose_config, fake, "rollout.api_key_env=CANARY", "rollout.test_tasks=2")
        validate(config)
        path = Store(config.store).get(evaluation(config)).path
    assert {episode.error for episode in read_jsonl(path / EPISODES)} == {""}


def test_a_missing_extra_is_named(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    from depo_lightning.validation import rollouts

    monkeypatch.setattr(rollouts, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install -e "\.\[http\]"'):
        validate(compose_config("rollout=server"))
