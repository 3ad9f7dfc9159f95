"""What an episode looked like, turn by turn: BabyAI is played again from its task and its actions.

WebShop's pages, and those of other environments, are drawn from the observations alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from depo_lightning.agents.react import FormatError, parse_turn
from depo_lightning.trajectory import Trajectory

if TYPE_CHECKING:
    from depo_lightning.envs.babyai import BabyAIEnv


@dataclass
class Frames:
    """What playing again adds to the record.

    Attributes:
        pictures: the grid before each turn, and after the last one; fewer where the replay left the record.
        rewards: after each turn that was played again.
        end: the observation after the last turn, which the record lacks; "" if unknown.
        note: why something is missing; "" if nothing is.
    """

    pictures: list[dict[str, Any]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    end: str = ""
    note: str = ""


def frames(episode: Trajectory, env: BabyAIEnv | None) -> Frames:
    """Frames of one episode.

    Args:
        episode: of any environment.
        env: to play a BabyAI episode again in, scored as the episode was; None for other environments.
    """
    if env is None or episode.env != env.name or not episode.steps:
        return Frames()
    result = Frames()
    try:
        _play_again(episode, env, result)
    except Exception as error:  # what crashed the episode may do so again, and is no reason not to show it
        result.note = f"Played again, the episode crashes ({type(error).__name__}: {error}): no picture from there."
    return result


def _play_again(episode: Trajectory, env: BabyAIEnv, result: Frames) -> None:
    from depo_lightning.envs.babyai.picture import picture

    observation = env.reset(episode.task)
    done = False
    for number, step in enumerate(episode.steps, start=1):
        if observation != step.observation or done:
            result.note = (
                f"Played again, the episode departs from the record before turn {number}: no picture from there."
            )
            return
        result.pictures.append(picture(env))
        try:
            action = parse_turn(step.text).action
        except FormatError as refused:  # the environment was not touched
            observation = str(refused)
            result.rewards.append(result.rewards[-1] if result.rewards else 0.0)
            continue
        answer = env.step(action)
        observation, done = answer.observation, answer.done
        result.rewards.append(answer.reward)
    result.pictures.append(picture(env))
    result.end = observation
