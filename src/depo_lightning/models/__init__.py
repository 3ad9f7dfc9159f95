"""Policies as models: a tiny one from scratch, pretrained ones, low-rank adapters, saving and loading."""

from depo_lightning.models.lora import LoraSettings, add_lora, load_policy, save_policy
from depo_lightning.models.tiny import TinySettings, build_tiny
from depo_lightning.models.tokenizer import fit_tokenizer

__all__ = ["LoraSettings", "TinySettings", "add_lora", "build_tiny", "fit_tokenizer", "load_policy", "save_policy"]
