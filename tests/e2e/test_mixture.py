"""Two environments in one run, from nothing to the table and the pages."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from depo_lightning.replay.__main__ import main as replay
from depo_lightning.trajectory import read_jsonl

Run = Callable[..., subprocess.CompletedProcess[str]]
BOTH = ("env=babyai_webshop", "env.parts.webshop.products=60", "policies=[bc,depo]", "model.vocab_size=700")


def test_a_mixture_from_nothing_to_the_table(run: Run, tmp_path: Path) -> None:
    done = run(*BOTH, "search.tasks=12", "rollout.test_tasks=4", "rollout.workers=1")
    out = tmp_path / "out"
    for word in ("webshop: difference to BC", "babyai: difference to BC", "webshop: desirable: "):
        assert word in done.stdout
    results = json.loads((out / "results.json").read_text())
    assert {env: list(part["policies"]) for env, part in results["environments"].items()} == {
        env: ["bc", "depo"] for env in ("babyai", "webshop")
    }
    episodes = read_jsonl(out / "episodes.jsonl")
    assert Counter(episode.env for episode in episodes) == {"babyai": 4, "webshop": 4}
    assert all((episode.env == "webshop") == ("WebShop" in episode.steps[0].observation) for episode in episodes)
    (collected,) = (tmp_path / "store" / "collect").glob("*/trajectories.jsonl")
    trees = {item.source.tree for item in read_jsonl(collected) if item.source}
    assert Counter(tree.partition("-")[0] for tree in trees) == {"babyai": 6, "webshop": 6}
    assert "# DEPO on babyai and webshop" in (out / "policies" / "depo" / "README.md").read_text()
    assert replay([str(out)]) == 0
    assert "departs from the record" not in (out / "replay.html").read_text()


def test_a_list_of_environments_is_told_what_to_write(run: Run) -> None:
    told = run("env=[babyai,webshop]", expect=2)
    assert "env=babyai_webshop" in told.stderr
    assert "Traceback" not in told.stderr + told.stdout


def test_a_sweep_may_be_about_one_of_the_environments(run: Run) -> None:
    objectives = "hydra.sweeper.objectives={webshop/success_rate:maximize,shop/tokens_all:minimize}"
    told = run("-m", *BOTH, "hydra/sweeper=depo_optuna", "alpha1=interval(0,1)", objectives, expect=2)
    assert "unknown metric 'shop/tokens_all'" in told.stderr
    assert "unknown metric 'webshop" not in told.stderr
    assert "Traceback" not in told.stderr + told.stdout
