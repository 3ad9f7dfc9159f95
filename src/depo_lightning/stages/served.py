"""evaluate, by a server, which plays the policies under their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from depo_lightning.config import ServerRolloutConfig
from depo_lightning.errors import MachineError
from depo_lightning.stages.context import Context, settings
from depo_lightning.stages.identity import served_name
from depo_lightning.stages.kept import KeptEpisodes
from depo_lightning.trajectory import Status, Trajectory


def served_episodes(
    context: Context,
    server: ServerRolloutConfig,
    policy: str,
    source: Path,
    tasks: Sequence[int],
    target: Path,
    advance: Callable[[], None],
) -> list[Trajectory]:
    """Episodes of one policy, as the server plays it.

    Args:
        context: of the stage.
        server: group `rollout`.
        policy: its name in the table.
        source: its directory in the store; its tokenizer counts.
        tasks: to play, in the order of the result.
        target: of the stage; what has been played is kept there.
        advance: called once per episode.

    Raises:
        MachineError: the server does not answer, or every episode crashed.
        ConfigError: the server does not take the key, or does not serve the policy.
    """
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.rollouts import RolloutSettings, ServerSettings, play_on_server
    from depo_lightning.stages import policies

    model, adapter = served_name(server, policy), None
    if server.load_adapters and (source / "adapter_config.json").exists():
        model, adapter = f"{policy}-{target.name}", source  # no other evaluation has the name, so none unloads it
    kept = KeptEpisodes(target)
    env = context.make_env()
    origin = {task: env.origin(task) for task in tasks}
    episodes = {(episode.env, episode.task): episode for episode in kept}
    for _ in episodes:
        advance()

    def ended(episode: Trajectory) -> None:
        kept.add(episode)
        advance()

    played = play_on_server(
        ChatRenderer(policies.load_tokenizer(source)),
        context.make_env,
        [task for task in tasks if origin[task] not in episodes],
        settings(RolloutSettings, server),
        settings(ServerSettings, server, model=model),
        ended,
        adapter,
    )
    episodes |= {(episode.env, episode.task): episode for episode in played}
    if all(episode.status is Status.CRASHED for episode in episodes.values()):
        first = episodes[origin[tasks[0]]].error
        raise MachineError(f"{policy}: all {len(tasks)} episodes crashed; the first: {first}")
    return [episodes[origin[task]] for task in tasks]
