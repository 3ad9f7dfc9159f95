"""WebShop as text, as AgentGym serves it (repository `WooooDyy/AgentGym`, folder `agentenv-webshop`)."""

from depo_lightning.envs.webshop.env import WebShopEnv
from depo_lightning.envs.webshop.reward import purchase_reward

__all__ = ["WebShopEnv", "purchase_reward"]
