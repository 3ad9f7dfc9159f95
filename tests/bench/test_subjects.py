"""What the subjects compute around their measurements, and one small comparison with TRL from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from bench.grid import copy
from bench.kto_comparison import Comparison
from bench.scaling import Point, row
from bench.settings import Settings
from bench.tree_data import SAMPLES, choose, labelled_trees, load_samples
from tests.rollouts.world import MODEL, RENDERER, SETTINGS, FakeEnv

from bench import commands, grid, rollouts, scaling
from depo_lightning.data import PreferenceSample
from depo_lightning.models import fit_tokenizer
from depo_lightning.trajectory import Label, Source, Step, Trajectory


def episode(tree: int, index: int, tokens: int) -> Trajectory:
    """A success of `tokens` agent tokens in one step."""
    thought = "I can see the ball. " * 2 + "I go to the ball."
    step = Step(
        "You see a ball", thought, "go to ball 1", f"Thought:\n{thought}\n\nAction:\ngo to ball 1", tokens, True
    )
    return Trajectory(
        id=f"{tree}-{index}",
        env="babyai",
        task=tree,
        seed=0,
        system="",
        steps=(step,),
        reward=1.0,
        success=True,
        source=Source(f"tree-{tree}", (index,)),
    )


def test_halves_label_whole_trees_and_shorten_desirable_thoughts() -> None:
    trees = labelled_trees([episode(tree, index, 10 + index) for tree in range(4) for index in range(4)], "halves")
    assert [len(tree) for tree in trees] == [4] * 4
    for tree in trees:
        assert [item.label for item in tree] == [Label.DESIRABLE] * 2 + [Label.UNDESIRABLE] * 2
        assert [item.steps[0].thought == "I go to the ball." for item in tree] == [True, True, False, False]


def test_trees_are_chosen_whole_with_both_labels_within_the_budget() -> None:
    def sample(tree: int, index: int) -> PreferenceSample:
        length = 10 * (tree + 1)
        return PreferenceSample(f"{tree}-{index}", [0] * length, [(length - 2, length)], index == 0, str(tree))

    trees = [[sample(tree, index) for index in range(2)] for tree in range(6)]
    chosen = choose(trees, 2, seed=0, most=None)
    assert len(chosen) == 4
    assert len({item.task for item in chosen}) == 2
    assert chosen == choose(trees, 2, seed=0, most=None)
    assert {item.task for item in choose(trees, 2, seed=0, most=60)} == {"0", "1"}  # 2 · 10 + 2 · 20 tokens
    with pytest.raises(ValueError, match="7 trees"):
        choose(trees, 7, seed=0, most=None)
    with pytest.raises(ValueError, match="at most 59"):
        choose(trees, 2, seed=0, most=59)


def test_scaling_compares_marginal_costs() -> None:
    def points(*seconds: float) -> list[Point]:
        return [Point(episodes, value, 300.0 + value) for episodes, value in zip((10, 40, 160), seconds, strict=True)]

    linear = row("collect", [points(6.0, 9.0, 21.0)])  # 5 s at the start and 0.1 s an episode
    assert linear.ours == pytest.approx([0.1])
    assert linear.ratio == pytest.approx(1.0)
    assert (linear.ours_mib, linear.peer_mib) == (321.0, 309.0)
    assert linear.note.endswith("306 at 1×")
    quadratic = row("collect", [points(0.1, 1.6, 25.6)])
    assert quadratic.ratio == pytest.approx(0.25)


def test_what_outlives_a_command_for_a_moment_is_counted(tmp_path: Path) -> None:
    burn = "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}])"
    line = [sys.executable, "-m", "bench.usage", str(tmp_path / "usage.json"), sys.executable, "-c", orphan]
    assert subprocess.run(line, cwd=commands.ROOT, check=False).returncode == 0
    used = json.loads((tmp_path / "usage.json").read_text())
    assert used["whole"]
    assert used["cpu_seconds"] >= 0.5
    failing = [*line[:4], sys.executable, "-c", "raise SystemExit(3)"]
    assert subprocess.run(failing, cwd=commands.ROOT, check=False).returncode == 3


def test_a_copied_store_shares_artifacts_but_not_the_account(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "bc" / "k").mkdir(parents=True)
    (store / "bc" / "k" / "manifest.json").write_text("{}")
    lines = [
        {"time": "", "stage": "bc", "key": "k", "event": event, "seconds": 1.5} for event in ("computed", "reused")
    ]
    (store / "account.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    twin = copy(store, tmp_path / "twin")
    with (twin / "account.jsonl").open("a") as file:
        file.write(json.dumps(lines[0] | {"stage": "depo"}) + "\n")
    assert commands.computed(store) == [("bc", "k", 1.5)]
    assert commands.computed(twin, before=2) == [("depo", "k", 1.5)]
    assert (twin / "bc" / "k" / "manifest.json").samefile(store / "bc" / "k" / "manifest.json")


@pytest.fixture
def fake_runs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that compute nothing: each takes 2 s and publishes what its stages would; what was asked is returned."""
    asked: list[list[str]] = []

    def run(settings: Settings, store: Path, arguments: list[str], sweep: bool = False) -> commands.Finished:
        asked.append(arguments + ["-m"] * sweep)
        values = dict(argument.split("=", 1) for argument in arguments)
        for stage in values.get("stages", "[depo,evaluate]")[1:-1].split(","):
            if stage in ("collect", "rephrase"):
                (store / stage / "k").mkdir(parents=True)
                (store / stage / "k" / "trajectories.jsonl").write_text("{}\n" * 2 * int(values.get("search.tasks", 1)))
            store.mkdir(exist_ok=True)
            entry = {"stage": stage, "key": "k", "event": "computed", "seconds": 0.5}
            with (store / "account.jsonl").open("a") as file:
                file.write(json.dumps(entry) + "\n")
        return commands.Finished(2.0, float(values.get("search.tasks", 1)), 100.0 + len(asked))

    monkeypatch.setattr(commands, "run", run)
    return asked


def test_the_grid_is_compared_with_separate_runs_and_with_one(fake_runs: list[list[str]], tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "account.jsonl").write_text("")
    separate, one = grid.measure(Settings(repetitions=1, quick=True, store=store))
    assert (separate.ours, separate.peer) == ([2.0], [32.0])
    assert (one.ours, one.peer, one.target) == ([2.0], [1.0], 0.25)  # its depo and evaluate stage, 0.5 s each
    assert sum("-m" in arguments for arguments in fake_runs) == 1
    points = {tuple(arguments[-2:]) for arguments in fake_runs[1:] if "-m" not in arguments}
    assert len(points) == 16
    assert (store / "account.jsonl").read_text() == ""


def test_a_point_that_the_store_holds_is_computed_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for stage in ("bc", "depo", "evaluate"):
        (store / stage / "k").mkdir(parents=True)
        (store / stage / "k" / "manifest.json").write_text("{}")

    class Started(Exception):
        """The first command."""

    def run(settings: Settings, store: Path, arguments: list[str]) -> None:
        raise Started({path.name for path in store.iterdir()})

    monkeypatch.setattr(commands, "run", run)
    with pytest.raises(Started) as first:
        grid.measure(Settings(store=store))
    assert first.value.args == ({"bc"},)


def test_every_stage_is_scaled(fake_runs: list[list[str]]) -> None:
    rows = scaling.measure(Settings(repetitions=2, quick=True))
    assert [item.what.split(":")[0] for item in rows] == ["collect", "label", "bc", "reference", "KTO", "evaluate"]
    assert rows[0].what == "collect: 384, 1536, 6144 episodes"
    assert all(len(item.ours) == len(item.peer) == 2 for item in rows)
    assert rows[0].ours == pytest.approx([0.5, 0.5])  # the fake CPU time is one second a tree, of two episodes


@pytest.mark.parametrize("threads", [1, 2])
def test_rollouts_say_what_generate_says(threads: int) -> None:
    game = rollouts.Game(MODEL, RENDERER, FakeEnv, replace(SETTINGS, temperature=0.0))
    row = rollouts.compare(game, 8, 8, 4, Settings(1, threads=threads))
    assert "8 of 8 episodes equal" in row.note
    assert ("2 processes" in row.note) == (row.ours_mib is None) == (threads == 2)


@pytest.mark.slow
def test_a_comparison_with_trl_from_end_to_end(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    tokenizer = fit_tokenizer(["go to the ball", "I see a ball"], vocab_size=300)
    tokenizer.save_pretrained(tmp_path)
    prompt, turn = (tokenizer(text)["input_ids"] for text in ("<|user|>I see a ball<|assistant|>", "go<|end|>"))
    spans = [(len(prompt), len(prompt + turn)), (len(prompt + turn + prompt), 2 * len(prompt + turn))]
    one = PreferenceSample("0", (prompt + turn) * 2, spans, True, "babyai/0")
    samples = [replace(one, id=str(index), desirable=index % 2 == 0, task=f"babyai/{index % 3}") for index in range(8)]
    (tmp_path / SAMPLES).write_text(json.dumps([asdict(sample) for sample in samples]))
    assert load_samples(tmp_path) == samples

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = {"shape": {**shape, "num_key_value_heads": 2, "vocab_size": len(tokenizer)}}
    facts = {"episodes": 8, "rows": 16, "row_tokens": 8 * sum(end for _, end in spans)}
    comparison = Comparison("small", Settings(1), model, tmp_path, tmp_path, tmp_path, facts, {})
    rows = comparison.rows()
    assert [item.target for item in rows] == [8, 4, None, None, None]
    assert all(item.note.endswith(("; ours in fp32", "; ours in bf16")) for item in rows)
    assert all(figure > 0 for item in rows for figure in item.ours + item.peer)
    best = comparison.best_settings()
    run = {"seconds": 1.0}
    tokens, utilisation = comparison.throughput([run], [run], best)
    assert tokens.ratio == 1.0
    assert 0 < utilisation.ours[0] < utilisation.peer[0]  # ours executes fewer FLOPs for the same tokens
