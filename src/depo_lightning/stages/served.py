"""evaluate, by a server, which plays the policies under their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from depo_lightning.config import ServerRolloutConfig
from depo_lightning.stages.context import Context, settings
from depo_lightning.stages.identity import served_name
from depo_lightning.trajectory import Trajectory


def play_served(
    context: Context,
    server: ServerRolloutConfig,
    policy: str,
    source: Path,
    tasks: Sequence[int],
    target: Path,
    keep: Callable[[int, Trajectory], None],
) -> None:
    """Let the server play episodes of one policy.

    Args:
        context: of the stage.
        server: group `rollout`.
        policy: its name in the table.
        source: its directory in the store; its tokenizer counts.
        tasks: to play.
        target: of the stage.
        keep: called with every task and its episode as it ends, in no fixed order.

    Raises:
        MachineError: the server does not answer.
        ConfigError: the server does not take the key, or does not serve the policy.
    """
    from depo_lightning.agents.chat import ChatRenderer
    from depo_lightning.rollouts import RolloutSettings, ServerSettings, play_on_server
    from depo_lightning.stages import policies

    model, adapter = served_name(server, policy), None
    if server.load_adapters and (source / "adapter_config.json").exists():
        model, adapter = f"{policy}-{target.name}", source  # no other evaluation has the name, so none unloads it
    env = context.make_env()
    places = {env.origin(task): task for task in tasks}
    play_on_server(
        ChatRenderer(policies.load_tokenizer(source)),
        context.make_env,
        tasks,
        settings(RolloutSettings, server),
        settings(ServerSettings, server, model=model),
        lambda episode: keep(places[episode.env, episode.task], episode),
        adapter,
    )
