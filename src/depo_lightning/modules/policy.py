"""Log-probabilities from any Hugging Face causal LM, bare or wrapped by PEFT."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from depo_lightning.errors import ConfigError
from depo_lightning.modules.batches import TokenBatch
from depo_lightning.objectives import completion_logps, segment_logps

# What some architectures do to the logits after the output head; the head is called on its own here.
_LOGIT_CHANGES = {"final_logit_softcapping": None, "logit_scale": 1.0, "logits_scaling": 1.0}


def check_policy(model: nn.Module) -> None:
    """Refuse models whose log-probabilities are not those of output head ∘ decoder.

    Raises:
        ConfigError: logits are changed after the head, the adapter learns prompts instead of weights, or nothing is
            trainable.
    """
    faults = []
    config = getattr(model, "config", None)
    for name, neutral in _LOGIT_CHANGES.items():
        value = getattr(config, name, neutral)
        if value not in (None, neutral):
            faults.append(f"model: its config has {name}={value}, which is not supported; choose another architecture")
    adapter = getattr(model, "active_peft_config", None)
    if adapter is not None and adapter.is_prompt_learning:
        faults.append(f"model: adapter type {adapter.peft_type} learns prompts, which is not supported; use LoRA")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        faults.append("model: no parameter is trainable; add an adapter, or load it with trainable weights")
    if faults:
        raise ConfigError(faults)


def token_logps(model: Any, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Log-probability (N,) and segment (N,) of every agent token of the batch."""
    hidden = model.get_decoder()(input_ids=batch.input_ids, use_cache=False).last_hidden_state
    return completion_logps(hidden, model.get_output_embeddings(), batch.input_ids, batch.segments)


def policy_logps(model: Any, batch: TokenBatch) -> Tensor:
    """Log-probability of every segment of the batch, (S,), from one causal pass over each row."""
    return segment_logps(*token_logps(model, batch), batch.count)
