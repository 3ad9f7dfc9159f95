"""The collect stage with a teacher behind HTTP: through faults, kills and budgets to the same trees."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from tests.llm.server import MODEL, FakeServer

from depo_lightning.choices import Proposing
from depo_lightning.config import Config
from depo_lightning.config.llm import ExchangeConfig
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.pipeline import run
from depo_lightning.plan import plan
from depo_lightning.stages.context import Context
from depo_lightning.stages.llm import llm_identity
from depo_lightning.store import Store
from depo_lightning.trajectory import Status, Trajectory, read_jsonl

ROOT = Path(__file__).parents[2]
Serve = Callable[..., FakeServer]
Compose = Callable[..., Config]
CANARY = "sk-canary-0123456789abcdef"
SMALL = (
    *("stages=[collect]", "logger=none", "search.simulations=2", "search.proposals=2", "search.max_depth=4"),
    *("env.levels=[GoToRedBallGrey]", "teacher=vllm", f"teacher.model={MODEL}"),
    *("teacher.limits.timeout_s=0.5", "teacher.limits.backoff_s=0.01", "teacher.limits.retries=12"),
)


def tokens(item: Trajectory) -> tuple[int, int]:
    return item.extra["usage"]["prompt_tokens"], item.extra["usage"]["completion_tokens"]


def overrides(server: FakeServer, *more: str) -> list[str]:
    return [*SMALL, f"teacher.base_url={server.url}", *more]


def artifact(config: Config) -> Path:
    return Store(config.store).path(plan(config, Context(config)).steps[0][2])


def collected(config: Config) -> list[Trajectory]:
    run(config)
    return read_jsonl(artifact(config) / "trajectories.jsonl")


def episodes(trajectories: list[Trajectory]) -> list[tuple[str, float, tuple[str, ...]]]:
    return [(item.id, item.reward, tuple(step.text for step in item.steps)) for item in trajectories]


def test_trees_over_http_with_account_and_usage(serve: Serve, compose_config: Compose) -> None:
    server = serve()
    config = compose_config(*overrides(server, "search.tasks=4"))
    found = collected(config)
    assert {item.task for item in found} == {row["task"] for row in json.loads(report(config).read_text())}
    assert len({item.task for item in found}) == 4
    assert all(item.extra["usage"]["calls"] > 0 for item in found)
    account = json.loads((artifact(config) / "account.json").read_text())
    assert account["requests"] == account["calls"] == len(server.bodies)
    assert account["faults"] == {}
    rows = json.loads(report(config).read_text())
    assert sum(row["calls"] for row in rows) == account["calls"] - 1  # and the question at the start
    assert sum(row["repaired"] + row["dropped"] for row in rows) > 0
    assert not any("dragon" in step.text for item in found for step in item.steps)
    asked = server.bodies[1]["messages"][0]["content"]
    assert asked.startswith(found[0].system)
    assert "exactly as it is listed" in asked
    assert "exactly as it is listed" not in found[0].system


def report(config: Config) -> Path:
    return artifact(config) / "report.json"


@pytest.mark.parametrize("proposals", ["samples", "distinct"])
def test_faults_change_nothing_but_the_account(
    proposals: str, serve: Serve, compose_config: Compose, tmp_path: Path
) -> None:
    quiet, broken = serve(), serve(faulty=0.3)
    few = ("search.tasks=5", f"teacher.proposals={proposals}", "search.concurrency=5")
    whole = collected(compose_config(*overrides(quiet, *few)))
    config = compose_config(*overrides(broken, *few, f"store={tmp_path / 'other'}"))
    found = collected(config)
    assert episodes(found) == episodes(whole)
    for item, quiet_item in zip(found, whole, strict=True):  # empty answers are paid for as well
        assert all(spent >= least for spent, least in zip(tokens(item), tokens(quiet_item), strict=True))
    assert not any(item.status is Status.CRASHED for item in found)
    said = [text.strip() for text in broken.answers]
    assert all(any(text.startswith(step.text) for text in said) for item in found for step in item.steps)
    account = json.loads((artifact(config) / "account.json").read_text())
    injected = sum(broken.faults.values())  # on a busy machine some requests time out by themselves
    assert sum(account["faults"].values()) >= injected >= 0.2 * account["calls"]
    empty = account["faults"].get("empty content", 0)  # these are answers as well, and paid for
    assert account["requests"] == account["calls"] + sum(account["faults"].values()) - empty
    assert account["faults"]["HTTP 429"] == broken.faults["429"]
    assert account["faults"]["timeout"] >= broken.faults["timeout"]


def test_the_key_is_nowhere(
    serve: Serve,
    compose_config: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CANARY_KEY", CANARY)
    monkeypatch.setenv("WANDB_MODE", "offline")
    caplog.set_level("DEBUG")
    server = serve(key=CANARY, faulty=0.2)
    config = compose_config(
        *overrides(server, "search.tasks=2", "teacher.api_key_env=CANARY_KEY", "logger=wandb", "teacher.model=wrong")
    )
    with pytest.raises(ConfigError, match="no model 'wrong'") as caught:
        run(config)
    told = [str(caught.value)]
    right = overrides(server, "search.tasks=2", "teacher.api_key_env=CANARY_KEY")
    run(compose_config(*right))
    monkeypatch.setenv("CANARY_KEY", CANARY + "x")
    with pytest.raises(ConfigError, match="refuses the key in CANARY_KEY") as caught:
        run(compose_config(*right, "search.tasks=1"))
    server.script += [(500, f"you sent Bearer {CANARY}x", {})] * 9
    with pytest.raises(MachineError, match=r"you sent Bearer \*\*\*") as ended:
        run(compose_config(*right, "search.tasks=1", "teacher.limits.retries=2"))
    told += [str(caught.value), str(ended.value), *capfd.readouterr(), caplog.text]
    assert not any(CANARY in text for text in told)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


def test_killed_in_the_middle_it_goes_on(serve: Serve, compose_config: Compose, tmp_path: Path) -> None:
    server = serve()
    server.delay = 0.01
    few = overrides(server, "search.tasks=8", "search.concurrency=2")
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        *few,
        f"store={tmp_path / 'store'}",
        f"hydra.run.dir={tmp_path / 'o'}",
    ]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True)
    trees: list[Path] = []
    while process.poll() is None and sum(len(path.read_bytes().splitlines()) for path in trees) < 3:
        trees = list((tmp_path / "store" / ".partial").glob("collect-*/.progress/trees.jsonl"))
        time.sleep(0.01)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = [
        json.loads(line)["report"] for line in trees[0].read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
    ]
    assert len(kept) >= 3
    before = len(server.bodies)
    config = compose_config(*few)
    found = collected(config)
    assert server.bodies[before]["messages"][0]["content"].startswith("Answer with one word")
    rows = json.loads(report(config).read_text())
    assert [row for row in rows if row["task"] in [tree["task"] for tree in kept]] == sorted(
        kept, key=lambda r: r["task"]
    )
    assert len(server.bodies) - before - 1 == sum(row["calls"] for row in rows) - sum(tree["calls"] for tree in kept)
    account = json.loads((artifact(config) / "account.json").read_text())
    assert len(server.bodies) <= account["requests"] <= len(server.bodies) + 4  # a killed request may not have arrived
    assert not list((tmp_path / "store" / ".partial").iterdir())
    again = compose_config(*few, f"store={tmp_path / 'undisturbed'}")
    assert episodes(found) == episodes(collected(again))


def test_a_budget_ends_the_run_and_a_higher_one_goes_on(serve: Serve, compose_config: Compose) -> None:
    server = serve()
    few = overrides(server, "search.tasks=4", "search.concurrency=1")
    with pytest.raises(MachineError, match=r"teacher\.limits\.budget_tokens"):
        run(compose_config(*few, "teacher.limits.budget_tokens=4000"))
    spent = len(server.bodies)
    found = collected(compose_config(*few))
    assert len({item.task for item in found}) == 4
    assert server.bodies[spent]["messages"][0]["content"].startswith("Answer")
    account = json.loads((artifact(compose_config(*few)) / "account.json").read_text())
    assert account["requests"] == len(server.bodies)


def test_only_what_changes_answers_is_in_the_key(compose_config: Compose) -> None:
    config = compose_config(*SMALL)

    def key(field: str, value: object) -> str:
        changed = deepcopy(config)
        *path, name = field.split(".")
        node = attrgetter(".".join(path))(changed)
        assert getattr(node, name) != value
        setattr(node, name, value)
        return plan(changed, Context(changed)).steps[0][2].key

    same = plan(config, Context(config)).steps[0][2].key
    for field, value in (
        *(
            ("teacher.base_url", "https://elsewhere/v1"),
            ("teacher.limits.retries", 3),
            ("teacher.api_key_env", "OTHER"),
        ),
        *(("teacher.limits.budget_tokens", 9), ("teacher.prices.input", 1.0), ("search.concurrency", 3)),
    ):
        assert key(field, value) == same
    for field, value in (
        *(
            ("teacher.model", "other"),
            ("teacher.temperature", 0.1),
            ("teacher.prompts.system", "{instructions} Hurry."),
            ("teacher.prompts.examples", [ExchangeConfig("Look.", "Thought: I do\nAction: look")]),
        ),
        *(("teacher.proposals", Proposing.distinct), ("teacher.max_tokens", 9), ("teacher.native_n", False)),
    ):
        assert key(field, value) != same
    assert "examples" not in llm_identity("teacher", config.teacher)["prompts"]  # as before there were any


def test_a_missing_key_or_extra_is_told_before_work_and_only_where_it_is_needed(
    serve: Serve, compose_config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(key="k")
    monkeypatch.delenv("NO_KEY", raising=False)
    few = overrides(server, "search.tasks=1", "teacher.api_key_env=NO_KEY")
    with pytest.raises(
        ConfigError, match=r"api_key_env=NO_KEY: this environment variable is not set, or blank; export NO_KEY=…"
    ):
        run(compose_config(*few))
    monkeypatch.setenv("NO_KEY", "two words")
    with pytest.raises(ConfigError, match="blanks") as caught:
        run(compose_config(*few))
    assert "two words" not in str(caught.value)
    assert not server.bodies
    monkeypatch.setenv("NO_KEY", "k\n")  # as `export NO_KEY="$(cat file)"` may leave it
    run(compose_config(*few))
    monkeypatch.delenv("NO_KEY")
    run(compose_config(*few))  # stored: nobody is asked
    monkeypatch.setattr("depo_lightning.validation.llm.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'the client is not installed; run pip install -e "\.\[http\]"'):
        run(compose_config(*few, "search.tasks=2"))


def test_the_rephrase_stage_over_http(serve: Serve, compose_config: Compose) -> None:
    def shorter(body: dict[str, Any], seed: int) -> str:
        thought = body["messages"][-1]["content"].partition("Thought: ")[2].partition("\nAction taken")[0]
        return thought.rpartition(". ")[2] if len(thought) % 2 else "A dragon."

    server = serve(answer=shorter, faulty=0.2)
    config = compose_config(
        *(
            "stages=[collect,label,rephrase]",
            "logger=none",
            "search.tasks=12",
            "search.workers=1",
            "thresholds=relative",
        ),
        *(
            "rephraser=openai",
            f"rephraser.model={MODEL}",
            f"rephraser.base_url={server.url}",
            "rephraser.api_key_env=null",
        ),
        *("rephraser.limits.timeout_s=0.5", "rephraser.limits.backoff_s=0.01", "rephraser.limits.retries=12"),
    )
    run(config)
    stages = {name: stage for _, name, stage in plan(config, Context(config)).steps}
    store = Store(config.store)
    before = {item.id: item for item in read_jsonl(store.path(stages["label"]) / "trajectories.jsonl")}
    after = read_jsonl(store.path(stages["rephrase"]) / "trajectories.jsonl")
    for item in after:
        assert [step.action for step in item.steps] == [step.action for step in before[item.id].steps]
        assert all(step.tokens > 0 and "dragon" not in step.thought for step in item.steps)
    told = json.loads((store.path(stages["rephrase"]) / "report.json").read_text())
    assert told["changed_steps"] > 0
    assert told["rejected"]["names something new"] > 0
    account = json.loads((store.path(stages["rephrase"]) / "account.json").read_text())
    assert sum(account["faults"].values()) >= sum(server.faults.values()) > 0
