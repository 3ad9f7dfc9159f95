"""evaluate: one policy on held-out tasks, with sampling noise that all policies share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from depo_lightning.config import Config, ServerRolloutConfig
from depo_lightning.envs import Split
from depo_lightning.errors import DataError, MachineError
from depo_lightning.files import atomic
from depo_lightning.in_order import InOrder
from depo_lightning.processes import cores
from depo_lightning.progress import bar, console
from depo_lightning.stages.context import EPISODES, Context, settings, write_stats
from depo_lightning.stages.drafts import of_evaluations
from depo_lightning.stages.identity import rollout_identity, server_identity
from depo_lightning.stages.kept import KeptEpisodes
from depo_lightning.stages.served import play_served
from depo_lightning.store import Stage
from depo_lightning.trajectory import Status, Trajectory, from_row, to_line, to_row


def evaluate_stage(config: Config, context: Context, name: str, policy: Stage, bc: Stage) -> Stage:
    """Episodes of one policy; `name` is what the table calls it."""
    identity = {"rollout": rollout_identity(config, config.rollout.split)}
    if isinstance(config.rollout, ServerRolloutConfig):
        identity["server"] = server_identity(config.rollout, name)
    inputs = {"policy": policy} if policy is bc else {"policy": policy, "bc": bc}
    return Stage("evaluate", 3, identity, partial(_evaluate, context, name), inputs, title="rollouts on held-out tasks")


def _evaluate(context: Context, name: str, target: Path, inputs: dict[str, Path]) -> None:
    config = context.config
    split = Split(config.rollout.split)
    count = config.rollout.test_tasks if split is Split.TEST else config.rollout.validation_tasks
    env = context.make_env()
    tasks = env.tasks(split, count)
    tokens = outgrown = 0
    errors = []
    with bar(f"{split} episodes", len(tasks)) as advance, atomic(target / EPISODES) as file:

        def write(episode: Trajectory) -> None:
            nonlocal tokens, outgrown
            file.write(to_line(episode))
            tokens += episode.agent_tokens
            outgrown += episode.extra.get("reason") == "max_context"
            if episode.status is Status.CRASHED:
                errors.append(episode.error)

        ordered, kept = InOrder(tasks, write), KeptEpisodes(target)
        left = {env.origin(task): task for task in tasks}
        for episode in kept:
            if (task := left.pop((episode.env, episode.task), None)) is not None:
                ordered.put(task, episode)
                advance()

        def keep(task: int, episode: Trajectory) -> None:
            kept.add(episode)
            ordered.put(task, episode)
            advance()

        if isinstance(config.rollout, ServerRolloutConfig):
            play_served(context, config.rollout, name, inputs["policy"], list(left.values()), target, keep)
            if len(errors) == len(tasks):
                raise MachineError(f"{name}: all {len(tasks)} episodes crashed; the first: {errors[0]}")
        else:
            known = target.parents[1] / "evaluate"
            drafts = of_evaluations(known, rollout_identity(config, split), inputs)
            _play_locally(config, context, inputs["policy"], list(left.values()), drafts, keep)
    write_stats(target, tokens)
    _tell_outgrown(outgrown, len(tasks), config.rollout.max_context)


def _tell_outgrown(outgrown: int, episodes: int, max_context: int) -> None:
    """Warn of episodes that ended for want of room: their failures may be the limit's, not the policy's."""
    if outgrown:
        console.print(
            f"  WARNING: {outgrown} of {episodes} episodes outgrew rollout.max_context={max_context} tokens and "
            "were cut there; raise rollout.max_context",
            markup=False,
            style="yellow",
        )


def _play_locally(
    config: Config,
    context: Context,
    policy: Path,
    tasks: list[int],
    drafts: list[Trajectory],
    keep: Callable[[int, Trajectory], None],
) -> None:
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.rollouts import RolloutSettings, play_parallel_each
    from depo_lightning.stages import policies
    from depo_lightning.stages.training import use_threads

    use_threads(config.trainer)
    model, tokenizer = policies.load_policy(policy)
    play_parallel_each(
        policies.on_device(model, config.trainer),
        ChatRenderer(tokenizer),
        context.make_env,
        tasks,
        settings(RolloutSettings, config.rollout),
        _workers(config, len(tasks)),
        keep,
        drafts,
    )


def validation_rollouts(context: Context, tokenizer: Any, drafts: Sequence[Trajectory]) -> Validation:
    """A function that plays the validation tasks with a model in training and returns what to log.

    Args:
        context: with the tasks and how they are played.
        tokenizer: of the model.
        drafts: validation episodes of policies that may be like this one.
    """
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.rollouts import RolloutSettings, play_parallel

    config = context.config
    tasks = context.make_env().tasks(Split.VALIDATION, config.rollout.validation_tasks)
    rollout = settings(RolloutSettings, config.rollout)
    renderer, workers = ChatRenderer(tokenizer), _workers(config, len(tasks))
    playing: dict[str, Any] = {"make_env": context.make_env, "tasks": tasks, "settings": rollout, "workers": workers}
    return Validation(partial(play_parallel, renderer=renderer, **playing), drafts)


class Validation:
    """Plays with the policy it is given.

    A policy in training changes little from one validation to the next, so the episodes of one are drafts of the
    following one, over a stop of the training as well.

    Attributes:
        episodes: of the last validation.
    """

    def __init__(self, play: Callable[..., list[Trajectory]], drafts: Sequence[Trajectory]) -> None:
        self._play, self._drafts = play, list(drafts)
        self.episodes: list[Trajectory] = []

    def __call__(self, model: Any) -> Mapping[str, float]:
        from depo_lightning.evaluation.metrics import summarise

        self.episodes = self._play(model, drafts=self.episodes + self._drafts)
        metrics = summarise(self.episodes).metrics
        return {name: metrics[name].mean for name in ("invalid_action_rate", "success_rate", "tokens_all", "steps_all")}

    def state_dict(self) -> dict[str, Any]:
        """The episodes, as lines of JSON: a checkpoint holds plain values."""
        return {"episodes": [json.dumps(to_row(episode)) for episode in self.episodes]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Draft from these; those of a checkpoint in another form are passed over."""
        with suppress(DataError, TypeError, ValueError):
            self.episodes = [from_row(json.loads(line)) for line in state_dict["episodes"]]


def _workers(config: Config, episodes: int) -> int:
    """Processes to play with; by default the job's cores, but none for fewer than two episodes."""
    return config.rollout.workers or max(1, min(cores(), episodes // 2))
