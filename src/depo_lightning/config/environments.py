"""Group `env`."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from depo_lightning.choices import Scoring


@dataclass
class EnvConfig:
    name: str = MISSING


@dataclass
class BabyAIConfig(EnvConfig):
    name: str = "babyai"
    levels: list[str] | None = None  # null: all 40
    scoring: Scoring = Scoring.default


SCHEMAS = (("env", "babyai_schema", BabyAIConfig),)
