"""The same parity on a server that others wrote: `transformers serve`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rollouts.letters import LETTERS, MODEL, RENDERER
from tests.rollouts.world import TASKS, FakeEnv, record

from depo_lightning.rollouts import RolloutSettings, ServerSettings, play, play_on_server

pytest.importorskip("openai")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
SETTINGS = RolloutSettings(max_steps=4, max_new_tokens=12, temperature=0.0, batch_size=4, max_context=700)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServerSettings]:
    path = tmp_path / "policy"
    MODEL.save_pretrained(path)
    LETTERS.save_pretrained(path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(path), "--device", "cpu"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--dtype", "float64", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            env=offline,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, tmp_path / "log")
        yield ServerSettings(f"http://127.0.0.1:{port}/v1", str(path), concurrency=2, retries=1, extra_body=None)
    finally:
        server.terminate()
        server.wait(30)


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(log.read_text())


@pytest.mark.slow
def test_greedy_episodes_equal_the_local_engines(served: ServerSettings) -> None:
    tasks = TASKS[:6]
    local = play(MODEL, RENDERER, FakeEnv, tasks, SETTINGS)
    assert record(play_on_server(RENDERER, FakeEnv, tasks, SETTINGS, served)) == record(local)
