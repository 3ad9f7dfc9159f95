"""The model that both contenders of the KTO comparison train: stored, or of a given shape with random weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

LORA: dict[str, Any] = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}


def load_model(model: dict[str, Any], device: str) -> PreTrainedModel:
    """Evaluation mode, in memory, on `device`.

    Args:
        model: {"path": directory}, or {"shape": fields of a LlamaConfig}; "dtype" as torch names it.
        device: "cpu" or "cuda".
    """
    dtype = getattr(torch, model["dtype"])
    if "shape" in model:
        torch.manual_seed(0)
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)  # 7 B parameters are never held in another precision first
        try:
            with torch.device(device):
                loaded: PreTrainedModel = LlamaForCausalLM(LlamaConfig(**model["shape"]))
        finally:
            torch.set_default_dtype(before)
    else:
        loaded = AutoModelForCausalLM.from_pretrained(model["path"], dtype=dtype)
        torch.nn.Module.to(loaded, device)  # the class's own is typed as taking no device
    for parameter in loaded.parameters():
        parameter.data = parameter.data.clone()  # weights that the file is mapped to would be read while measured
    return loaded.eval()
