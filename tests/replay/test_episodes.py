"""What is shown of which episodes, and what playing again adds; the command."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from depo_lightning.envs.babyai import BabyAIEnv
from depo_lightning.envs.babyai.picture import picture
from depo_lightning.errors import DataError
from depo_lightning.replay.__main__ import main
from depo_lightning.replay.episodes import Only, chosen, page_row, player
from depo_lightning.replay.frames import frames
from depo_lightning.rollouts.episode import Episode
from depo_lightning.trajectory import Status, Trajectory, write_jsonl


def played(task: int, texts: list[str], scoring: str = "default") -> Trajectory:
    episode = Episode(BabyAIEnv(scoring=scoring), task, seed=0, max_steps=20)
    for text in texts:
        if episode.status is None:
            episode.play(text, 5)
    if episode.status is None:
        episode.truncate("max_steps")
    return episode.trajectory()


def solved(task: int) -> Trajectory:
    """One turn, which is a success where the red ball is in sight."""
    return played(task, ["Action: go to red ball 1"])


def test_playing_again_gives_the_record() -> None:
    texts = ["Action: turn left", "Action: a\nAction: b", "no action", "Action: turn left", "Action: move forward"]
    episode = played(1, texts)
    found = frames(episode, BabyAIEnv())
    assert found.note == ""
    assert len(found.pictures) == len(texts) + 1
    directions = [picture["agent"][2] for picture in found.pictures]
    assert [(b - a) % 4 for a, b in pairwise(directions)] == [3, 0, 0, 3, 0]
    assert found.end.endswith("]")
    for drawn in found.pictures:
        width, height = drawn["size"]
        assert len(drawn["walls"]) == width * height
        x, y, _ = drawn["agent"]
        assert [x, y] in drawn["seen"]


def test_the_agent_sees_what_lies_before_it() -> None:
    """The picture's view, by cells, names what the observation names."""
    for task in range(0, 240, 7):
        env = BabyAIEnv()
        env.reset(task)
        drawn = picture(env)
        if drawn["carrying"]:  # from the start, and yet the first view shows it where it lay: minigrid's way
            continue
        seen = {(x, y) for x, y in drawn["seen"]}
        inside = sorted(name for x, y, name in drawn["things"] if (x, y) in seen)
        assert inside == sorted(name for name in env._view if name and not name.endswith("wall"))


def test_rewards_come_with_the_turns() -> None:
    episode = next(found for found in map(solved, range(1, 4001, 40)) if found.success)
    row = page_row(episode, BabyAIEnv())
    assert row["steps"][-1]["reward"] == episode.reward > 0
    assert row["outcome"] == "successes"


def test_a_record_that_cannot_be_played_again_says_so() -> None:
    episode = played(1, ["Action: turn left"] * 3)
    steps = list(episode.steps)
    steps[1] = replace(steps[1], observation="Something else entirely.")
    found = frames(replace(episode, steps=tuple(steps)), BabyAIEnv())
    assert "departs from the record before turn 2" in found.note
    assert len(found.pictures) == 1
    assert frames(episode, None).pictures == []


def test_what_crashed_once_is_shown_up_to_there(monkeypatch: pytest.MonkeyPatch) -> None:
    episode = played(1, ["Action: turn left"] * 3)
    env, step = BabyAIEnv(), BabyAIEnv.step
    turns: list[str] = []

    def breaks(self: BabyAIEnv, action: str) -> object:
        turns.append(action)
        if len(turns) == 2:
            raise ValueError("no such door")
        return step(self, action)

    monkeypatch.setattr(BabyAIEnv, "step", breaks)
    found = frames(replace(episode, status=Status.CRASHED, error="ValueError: no such door"), env)
    assert "crashes (ValueError: no such door)" in found.note
    assert len(found.pictures) == 2
    assert "crashes" in frames(replace(episode, task=-1), env).note


def test_choosing_episodes() -> None:
    def made(policy: str, task: int, **changes: object) -> Trajectory:
        base = played(1, ["Action: turn left"])
        return replace(base, id=f"{policy}/{task}", task=task, extra={"policy": policy}, **changes)  # type: ignore[arg-type]

    episodes = [
        made("bc", 1, success=True, status=Status.FINISHED),
        made("bc", 2),
        made("bc", 3, status=Status.CRASHED),
        made("depo", 1),
    ]
    assert chosen(episodes, (), Only.all, None) == episodes
    assert [e.id for e in chosen(episodes, ("bc",), Only.failures, None)] == ["bc/2"]
    assert [e.id for e in chosen(episodes, (), Only.successes, None)] == ["bc/1"]
    assert [e.id for e in chosen(episodes, (), Only.crashed, None)] == ["bc/3"]
    assert [e.id for e in chosen(episodes, (), Only.all, 1)] == ["bc/1", "depo/1"]
    with pytest.raises(DataError, match=r"--policy kto: the episodes are of \['bc', 'depo'\]"):
        chosen(episodes, ("kto",), Only.all, None)
    with pytest.raises(DataError, match="no such episode among 4"):
        chosen(episodes, ("depo",), Only.successes, None)


def test_the_run_says_how_its_episodes_were_scored(tmp_path: Path) -> None:
    episode = played(1, ["Action: turn left"])
    (tmp_path / "config.yaml").write_text("env:\n  name: babyai\n  scoring: agentgym\n")
    env = player(tmp_path, [episode])
    assert env is not None
    assert env.scoring == "agentgym"
    assert player(tmp_path, [replace(episode, env="webshop")]) is None
    (tmp_path / "config.yaml").write_text("env: {name: mixture, parts: {webshop: {}, babyai: {scoring: agentgym}}}\n")
    env = player(tmp_path, [replace(episode, env="webshop"), episode])
    assert env is not None
    assert env.scoring == "agentgym"


@pytest.mark.parametrize(
    ("written", "scoring"),
    [
        ("env: {parts: {babyai: {scoring: agentgym}, webshop: {}}}", "agentgym"),
        ("env: {scoring: null}", "default"),
        ("env: [babyai]", "default"),
        ("- a", "default"),
        ("", "default"),
    ],
)
def test_configurations_of_other_forms(tmp_path: Path, written: str, scoring: str) -> None:
    (tmp_path / "config.yaml").write_text(written)
    env = player(tmp_path, [played(1, ["Action: turn left"])])
    assert env is not None
    assert env.scoring == scoring


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("env: [")
    with pytest.raises(DataError, match=r"config.yaml: no readable YAML"):
        player(tmp_path, [played(1, ["Action: turn left"])])


def test_an_empty_file_and_half_a_character(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "episodes.jsonl"
    file.write_text("")
    assert main([str(tmp_path)]) == 2
    assert "the file is empty" in capsys.readouterr().err
    write_jsonl(file, [played(1, ["Action: turn left"])])
    file.write_text(file.read_text(encoding="utf-8").replace("Action: turn left", "\\ud800 Action: turn left"))
    assert main([str(tmp_path)]) == 0
    assert "\ufffd Action: turn left" in (tmp_path / "replay.html").read_text(encoding="utf-8")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    episodes = [replace(played(task, ["Action: turn left"]), id=f"bc/{task}") for task in (1, 41)]
    write_jsonl(tmp_path / "episodes.jsonl", episodes)
    assert main([str(tmp_path)]) == 0
    assert '"task":41' in (tmp_path / "replay.html").read_text(encoding="utf-8")
    assert main([str(tmp_path / "episodes.jsonl"), "--limit", "1", "--out", str(tmp_path / "one.html")]) == 0
    assert '"task":41' not in (tmp_path / "one.html").read_text(encoding="utf-8")
    assert main([str(tmp_path / "nowhere")]) == 2
    assert main([str(tmp_path), "--only", "successes"]) == 2
    assert main([str(tmp_path), "--limit", "0"]) == 2
    told = capsys.readouterr().err
    for words in ("no such file", "no such episode", "--limit 0"):
        assert words in told
