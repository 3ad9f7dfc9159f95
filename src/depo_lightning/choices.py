"""Choices that both the configuration and the library name. Members are lower-case: it is what a user types."""

from __future__ import annotations

from enum import StrEnum


class EfficiencyForm(StrEnum):
    """How efficiency enters the KTO loss. α1 = α2 = 0 makes each of them KTO.

    depo: the paper's form; b is added to the log-ratio of D (DEPO, Eq. 9 and 10).
    kto: no efficiency term at all, whatever α says.
    undesirable_penalty: DEPO's bonus on D, and a penalty on U beside it (DEPO, Eq. 11).
    margin: b is subtracted from the log-ratio of D, so that an efficient sample has further to go.
    weight: no offset; a sample of D weighs 1 + b.
    """

    depo = "depo"
    kto = "kto"
    undesirable_penalty = "undesirable_penalty"
    margin = "margin"
    weight = "weight"


class Unit(StrEnum):
    """What one sample is: a turn with everything before it as prompt, or all agent tokens of an episode."""

    step = "step"
    trajectory = "trajectory"


class PackingMode(StrEnum):
    """How a batch of sequences goes through the model: equal prefixes once, or each sequence padded out on its own."""

    prefix = "prefix"
    padding = "padding"


class Grouping(StrEnum):
    """What meets in a batch: any trajectories, or those of one search tree, which share prefixes."""

    none = "none"
    tree = "tree"


class Scoring(StrEnum):
    """Whose reward BabyAI gives: what a person would call success, or AgentGym's to the letter."""

    default = "default"
    agentgym = "agentgym"


class Proposing(StrEnum):
    """How a language model proposes several turns: drawn independently, or one by one, each with a new action."""

    samples = "samples"
    distinct = "distinct"


class Instructions(StrEnum):
    """Who wrote WebShop's goals: the annotations of the products (AgentGym's choice), or people."""

    synthetic = "synthetic"
    human = "human"


OBJECTIVES = {"success_rate": "maximize", "tokens_all": "minimize"}  # of a sweep, unless it names others

# Metrics of evaluation episodes (`evaluation.metrics.summarise`), which a sweep's objectives name.
METRICS = (
    "success_rate",
    "mean_reward",
    "tokens_all",
    "steps_all",
    "tokens_success",
    "steps_success",
    "tokens_per_step",
    "invalid_action_rate",
    "tokens_per_success",
)


class Dtype(StrEnum):
    """Numbers that a pretrained model computes with; auto: bfloat16 on a GPU, float32 on the CPU."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Attention(StrEnum):
    """Attention of padded training batches; packed ones and rollouts have their own."""

    sdpa = "sdpa"
    eager = "eager"
    flash_attention_2 = "flash_attention_2"
