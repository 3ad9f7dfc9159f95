"""Record random play of AgentGym's own BabyAI environment, as the yardstick of `test_babyai_golden.py`.

Run it in an environment of its own, since the reference rests on packages this project no longer uses:

    python3.11 -m venv refvenv
    refvenv/bin/pip install "minigrid<2.5" "gymnasium<1.0" gym matplotlib pillow
    git clone https://github.com/WooooDyy/AgentGym
    refvenv/bin/python tests/envs/record_golden.py AgentGym tests/envs/golden/babyai.jsonl.gz

The reference's client talks to the reference's server object directly, without HTTP, so the client's cleaning of the
action and the server's bookkeeping (`score`) are part of what is recorded. Each line is one episode: the task, the
actions as the agent would write them, a digest per observation, and for some episodes the texts themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import importlib.util
import io
import json
import random
import sys
import types
from pathlib import Path
from typing import Any

LEVELS = 40
LONG_SEEDS = 2  # these seeds are played long enough to pass minigrid's step limit on the small levels
LONG_STEPS = 60
TWICE_GENERATED = (5874, 16554, 23996)  # the reference generates twice, and these come out different the second time
ODDITIES = (
    "",
    "fly to the moon",
    "go to red ball 9",
    "pickup purple box 1",
    "pick up red ball 1",
    "go through red open door 1",
    "go through blue locked door 1",
    "toggle",
    "drop",
    "move forward",
    "go to goal",
    "Check available actions.",
    "check",
    "GO TO RED BALL 1!",
    "  turn   left  ",
    "[turn right]",
    "go to red ball 1, then drop",
    "тurn left",
)


def digest(observation: str, reward: float, score: float, done: bool) -> str:
    """Eight hex digits that stand for one answer of the environment."""
    answer = json.dumps([observation, float(reward), float(score), bool(done)], ensure_ascii=False)
    return hashlib.sha256(answer.encode()).hexdigest()[:8]


def load_reference(checkout: Path) -> tuple[Any, Any]:
    """The reference's server object and its client class, the client's own dependencies replaced by stand-ins."""
    controller = types.ModuleType("agentenv.controller")
    controller.BaseEnvClient = type("BaseEnvClient", (), {"__init__": lambda self, *args, **kwargs: None})
    controller.BaseTask = object
    kinds = types.ModuleType("agentenv.controller.types")
    kinds.ConversationMessage = dict
    kinds.StepOutput = lambda **fields: types.SimpleNamespace(**fields)
    requests = types.ModuleType("requests")
    requests.exceptions = types.ModuleType("requests.exceptions")
    requests.exceptions.RequestException = OSError
    package = types.ModuleType("agentenv")
    for module in (package, controller, kinds, requests, requests.exceptions):
        sys.modules[module.__name__] = module
    server = _load(checkout / "agentenv-babyai/agentenv_babyai/environment.py").server
    return server, _load(checkout / "agentenv/agentenv/envs/babyai.py").BabyAIEnvClient


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"reference_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def connect(server: Any, client_class: Any) -> Any:
    """A client whose requests are method calls."""

    def post(self: Any, path: str, data: dict[str, Any]) -> Any:
        answer = server.step(self.env_id, data["action"]) if path == "step" else server.reset(self.env_id, **data)
        assert "error" not in answer, answer
        return answer

    client = client_class.__new__(client_class)
    client.env_id = server.create()["id"]
    client._post = types.MethodType(post, client)
    return client


def choose(rng: random.Random, game: Any) -> str:
    """An action: mostly one of those on offer, macro actions preferred, sometimes a refused or a senseless one."""
    draw = rng.random()
    if draw < 0.08:
        return rng.choice(ODDITIES)
    if draw < 0.18 and game.error_message:
        return rng.choice(sorted(game.error_message))
    offered = list(game.action_space)
    weights = [1 if action.startswith(("turn", "move", "check")) else 3 for action in offered]
    return rng.choices(offered, weights)[0]


def play(server: Any, client: Any, task: int, steps: int, texts: bool) -> dict[str, Any]:
    """Play one task at random and describe what happened."""
    rng = random.Random(task)
    first = client.reset(data_idx=task)
    answers = [(first["observation"], first["reward"], first["score"], first["done"])]
    actions: list[str] = []
    while len(actions) < steps and not answers[-1][3]:
        actions.append(choose(rng, server.env[client.env_id]))
        output = client.step(f"Thought:\nI try this.\n\nAction:\n{actions[-1]}")
        assert output.reward == client.info["score"]
        answers.append((output.state, client.info["reward"], output.reward, output.done))
    row: dict[str, Any] = {"task": task, "actions": actions, "digests": [digest(*answer) for answer in answers]}
    if texts:
        row["texts"] = [text for text, *_ in answers]
    return row


def main() -> None:
    """Record `--seeds` tasks of every level, the first seed with its texts, and some long episodes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="folder of the AgentGym checkout")
    parser.add_argument("output", type=Path, help="golden file to write (.jsonl.gz)")
    parser.add_argument("--seeds", type=int, default=50, help="tasks per level")
    parser.add_argument("--steps", type=int, default=12, help="actions per task")
    options = parser.parse_args()
    server, client_class = load_reference(options.checkout)
    client = connect(server, client_class)
    lines = []
    for task in (*range(LEVELS * (options.seeds + LONG_SEEDS)), *TWICE_GENERATED):
        long = LEVELS * options.seeds <= task < LEVELS * (options.seeds + LONG_SEEDS)
        with contextlib.redirect_stdout(io.StringIO()):  # level generation prints what it rejects
            row = play(server, client, task, LONG_STEPS if long else options.steps, texts=task < LEVELS)
        lines.append(json.dumps(row, ensure_ascii=False))
    with gzip.GzipFile(options.output, "wb", mtime=0) as file:  # no time stamp: the same play is the same file
        file.write(("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
