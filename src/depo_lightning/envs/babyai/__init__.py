"""BabyAI as text, as AgentGym puts it to an agent (repository `WooooDyy/AgentGym`, folder `agentenv-babyai`)."""

from depo_lightning.envs.babyai.env import BabyAIEnv, Scoring

__all__ = ["BabyAIEnv", "Scoring"]
