"""Rollouts by an OpenAI-compatible server: the episodes of `engine.play`, with each turn asked for over HTTP.

The server renders the conversation itself, so it must have the policy's own chat template. A turn's tokens are counted
as locally, end-of-turn token included: from the ids, where the server returns them (vLLM does), else by the policy's
tokenizer; a turn that was cut off has `max_new_tokens`. `usage` is not relied on, as servers differ in what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.collect.aio import map_limited, run_async
from depo_lightning.envs.base import TextEnv
from depo_lightning.rollouts.endpoint import Endpoint, RequestFailed, ServerSettings
from depo_lightning.rollouts.episode import Episode
from depo_lightning.rollouts.replies import Reply
from depo_lightning.rollouts.sampling import turn_seed
from depo_lightning.rollouts.settings import RolloutSettings, check_tasks
from depo_lightning.trajectory import Trajectory


def play_on_server(
    renderer: ChatRenderer,
    make_env: Callable[[], TextEnv],
    tasks: Sequence[int],
    settings: RolloutSettings,
    server: ServerSettings,
    progress: Callable[[Trajectory], None] | None = None,
    adapter: Path | None = None,
) -> list[Trajectory]:
    """Play one episode per task; returns trajectories in the order of `tasks`.

    Greedy episodes are those of `play`, as far as the server computes the same logits and each turn's text is
    tokenised as it was generated. A request that fails for good crashes its episode, which says why.

    Args:
        renderer: of the policy's tokenizer.
        make_env: called at most once per episode in flight, and again after an environment has crashed.
        tasks: distinct task indices.
        settings: as for `play`; `batch_size` is the server's affair.
        server: see `ServerSettings`.
        progress: called with every trajectory as it ends.
        adapter: directory of an adapter that vLLM is to load under the model's name, and to drop afterwards.

    Raises:
        ConfigError: tasks repeat, or the server does not take the key, serve the model or read `max_context` tokens.
        MachineError: the server does not answer, or goes away.
    """
    check_tasks(tasks)

    async def rollout() -> list[Trajectory]:
        async with Endpoint(server) as endpoint:
            if adapter is not None:
                await endpoint.load_adapter(adapter)
            await endpoint.check(settings.max_context)
            player = _Player(endpoint, renderer, make_env, settings, progress)
            try:
                return await map_limited(player.play, tasks, server.concurrency)
            finally:
                if adapter is not None:
                    await endpoint.unload_adapter()

    return run_async(rollout()) if tasks else []


class _Player:
    """One call of `play_on_server`: the endpoint, and environments that wait for their next episode."""

    def __init__(
        self,
        endpoint: Endpoint,
        renderer: ChatRenderer,
        make_env: Callable[[], TextEnv],
        settings: RolloutSettings,
        progress: Callable[[Trajectory], None] | None,
    ) -> None:
        self.endpoint, self.renderer, self.make_env = endpoint, renderer, make_env
        self.settings, self.progress = settings, progress
        self.stops = {renderer.eot_id, renderer.tokenizer.eos_token_id}
        self.idle_envs: list[TextEnv] = []

    async def play(self, task: int) -> Trajectory:
        """One episode from reset to end."""
        env = self.idle_envs.pop() if self.idle_envs else self.make_env()
        episode = Episode(env, task, self.settings.seed, self.settings.max_steps)
        if episode.status is None:
            try:
                await self._turns(episode)
            except RequestFailed as error:
                episode.crash(error)
        trajectory = episode.trajectory()
        if not trajectory.error:
            self.idle_envs.append(env)
        if self.progress is not None:
            self.progress(trajectory)
        return trajectory

    async def _turns(self, episode: Episode) -> None:
        settings = self.settings
        length = len(self.renderer.prompt_ids(episode.messages))
        for turn in range(settings.max_steps):
            if length + settings.max_new_tokens > settings.max_context:
                episode.truncate("max_context")
                return
            seed = turn_seed(settings.seed, episode.origin[1], turn)
            reply = await self.endpoint.complete(episode.messages, settings.max_new_tokens, settings.temperature, seed)
            tokens = self._tokens(reply)
            episode.play(reply.text, tokens)
            if episode.status is not None:
                return
            # A turn that was cut off is closed by force, as locally.
            length += tokens + reply.cut + len(self.renderer.next_prompt_ids(episode.messages))

    def _tokens(self, reply: Reply) -> int:
        if reply.cut:
            return self.settings.max_new_tokens
        if reply.token_ids is None:
            return len(self.renderer.turn_ids(reply.text))
        ended = bool(reply.token_ids) and reply.token_ids[-1] in self.stops
        return len(reply.token_ids) + (not ended)
