"""Log-probabilities from any Hugging Face causal LM, bare or wrapped by PEFT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from depo_lightning.errors import ConfigError
from depo_lightning.modules.batches import PreferenceBatch, TokenBatch
from depo_lightning.modules.packed import PackedBatch
from depo_lightning.modules.passes import PLAIN, Compute, packed_logps
from depo_lightning.objectives import completion_logps, segment_logps
from depo_lightning.objectives.logps import NO_SEGMENT

_FILL = 0.7  # least share of a pass's width that each of its rows fills: less padding against more passes
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


def policy_logps(model: Any, batch: TokenBatch | PackedBatch, compute: Compute = PLAIN) -> Tensor:
    """Log-probability of every segment of the batch, (S,): each sequence goes through the model once."""
    if isinstance(batch, PackedBatch):
        return packed_logps(model, batch, compute)[0]
    return segment_logps(*_padded_logps(model, batch, 0.0 if compute.one_pass else _FILL), batch.count)


def preference_logps(model: Any, batch: PreferenceBatch, compute: Compute = PLAIN) -> tuple[Tensor, Tensor]:
    """Log-probability of every sample, (S,), and of every mismatched completion, (K,), the latter without gradient."""
    with torch.no_grad():
        apart = [policy_logps(model, pairs, compute) for pairs in batch.mismatched]
    if isinstance(batch.sequences, PackedBatch):
        logps, branches = packed_logps(model, batch.sequences, compute)
        return logps, torch.cat([*apart, branches])
    logps = policy_logps(model, batch.sequences, compute)
    return logps, torch.cat([*apart, logps.new_zeros(0).detach()])


def _padded_logps(model: Any, batch: TokenBatch, fill: float) -> tuple[Tensor, Tensor]:
    """Log-probability (N,) and segment (N,) of every agent token of the batch.

    Rows of very different lengths go through the model in several passes, so that a long episode does not pad all
    others to its length; what follows a row's last agent token is never computed.
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    logps, segments = [], []
    for rows, width in _passes(batch.segments, fill):
        ids, labels = batch.input_ids[rows, :width], batch.segments[rows, :width]
        hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
        values, where = completion_logps(hidden, head, ids, labels)
        logps.append(values)
        segments.append(where)
    return torch.cat(logps), torch.cat(segments)


def _passes(segments: Tensor, fill: float) -> Iterator[tuple[Tensor, int]]:
    """Row indices and width of each pass: rows at least `fill` as long as the longest of their pass, longest first."""
    position = torch.arange(1, segments.shape[1] + 1, device=segments.device)
    lengths = torch.where(segments != NO_SEGMENT, position, 0).amax(dim=1)
    lengths, order = lengths.sort(descending=True, stable=True)
    widths, start = lengths.tolist(), 0
    for end in range(1, len(widths) + 1):
        if end == len(widths) or widths[end] < fill * widths[start]:
            yield order[start:end], widths[start]
            start = end
