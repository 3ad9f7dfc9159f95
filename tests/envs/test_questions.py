"""A question is an episode of one turn, whose text is taken whole."""

from __future__ import annotations

from depo_lightning.envs import Split
from depo_lightning.envs.questions import QuestionEnv
from depo_lightning.rollouts.episode import Episode
from depo_lightning.trajectory import Status


def test_one_turn_ends_the_episode_and_keeps_the_text() -> None:
    env = QuestionEnv("sums", ["1+1?", r"$\frac{a}{b}$ {x}?"], system="Be exact.", prompt="Q: {question} A:")
    assert env.tasks(Split.TEST, 5) == [0, 1]
    played = Episode(env, task=1, seed=0, max_steps=1)
    assert [message["content"] for message in played.messages] == ["Be exact.", r"Q: $\frac{a}{b}$ {x}? A:"]
    text = "Thought: one Action: go\nAction: two"  # not ReAct: nothing of it is read as an action, nor refused
    played.play(text, 9)
    row = played.trajectory()
    assert row.status is Status.FINISHED
    assert (row.steps[0].text, row.steps[0].action, row.steps[0].thought) == (text, text, "")
    assert row.steps[0].valid
    assert row.level == "sums"
    assert (row.reward, row.success) == (0, False)  # who knows the answers grades them
