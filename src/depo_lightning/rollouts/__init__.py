"""Rollouts: playing a policy in an environment, many episodes at a time."""

from depo_lightning.rollouts.endpoint import ServerSettings
from depo_lightning.rollouts.engine import play
from depo_lightning.rollouts.parallel import play_parallel, play_parallel_each
from depo_lightning.rollouts.server import play_on_server
from depo_lightning.rollouts.settings import RolloutSettings

__all__ = ["RolloutSettings", "ServerSettings", "play", "play_on_server", "play_parallel", "play_parallel_each"]
