from __future__ import annotations

import pytest

from depo_lightning.errors import DataError
from depo_lightning.evaluation.episode_table import EpisodeRow, episode_table, read_episode_table
from depo_lightning.trajectory import Status


def test_a_line_per_episode_in_their_order(episode, tmp_path):
    bc = [episode(3, [10, 20], True, reward=0.9), episode(1, [5], True, status=Status.TRUNCATED, invalid=1)]
    depo = [episode(3, [7], False, status=Status.CRASHED)]
    text = episode_table({"bc": bc, "depo": depo})
    assert text.splitlines() == [
        "policy,env,task,status,success,reward,tokens,steps,invalid",
        "bc,babyai,3,finished,1,0.9,30,2,0",
        "bc,babyai,1,truncated,0,1.0,5,1,1",  # cut off: no success, whatever the environment said
        "depo,babyai,3,crashed,0,0.0,7,1,0",
    ]
    (tmp_path / "episodes.csv").write_text(text)
    found = read_episode_table(tmp_path / "episodes.csv")
    assert found == {"bc": [EpisodeRow.of(e) for e in bc], "depo": [EpisodeRow.of(e) for e in depo]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ":1: no column"),
        ("policy,env,task\nbc,babyai,0\n", "no column invalid, reward"),
        ("policy,env,task,status,success,reward,tokens,steps,invalid\nbc,babyai,0,lost,1,1,5,1,0\n", ":2: 'lost'"),
        ("policy,env,task,status,success,reward,tokens,steps,invalid\nbc,babyai,0,finished,1,1,5\n", ":2:"),
    ],
)
def test_what_cannot_be_read_is_named(text, words, tmp_path):
    (tmp_path / "episodes.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_episode_table(tmp_path / "episodes.csv")
