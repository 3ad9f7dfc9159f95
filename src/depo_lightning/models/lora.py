"""Low-rank adapters, and policies on disk in the formats of `transformers` and `peft`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from depo_lightning.errors import ConfigError, DataError

if TYPE_CHECKING:
    from peft import PeftModel  # heavy, and policies without adapters need nothing of it

_ADAPTER = "adapter_config.json"
_FULL = "config.json"


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685).

    Attributes:
        rank: inner width r of the adapters.
        alpha: their output is scaled by alpha / rank.
        dropout: on the adapters' input, during training.
        targets: names of the adapted modules, a regular expression for their paths, or "all-linear" for every linear
            layer but the output head.
    """

    rank: int = 16
    alpha: float = 32
    dropout: float = 0.0
    targets: str | Sequence[str] = "all-linear"

    def __post_init__(self) -> None:
        faults = []
        if self.rank < 1:
            faults.append(f"lora.rank={self.rank}: must be at least 1")
        if self.alpha <= 0:
            faults.append(f"lora.alpha={self.alpha}: must be above 0; the adapters would do nothing")
        if not 0 <= self.dropout < 1:
            faults.append(f"lora.dropout={self.dropout}: must be in [0, 1)")
        if faults:
            raise ConfigError(faults)


def add_lora(model: PreTrainedModel, settings: LoraSettings, seed: int = 0) -> PeftModel:
    """Freeze the model and add trainable adapters, which leave its output unchanged until they are trained.

    The adapters' start depends on `seed` only. The model itself is wrapped, not copied.
    """
    from peft import LoraConfig, get_peft_model

    targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # declared int, used as a factor
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def merged(model: PreTrainedModel | PeftModel, base: PreTrainedModel | None = None) -> PreTrainedModel:
    """The model with its adapters added to its weights, or to those of `base`, for a model whose own are quantised."""
    if isinstance(model, PreTrainedModel):
        return model
    if base is not None:
        from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

        learned = get_peft_model_state_dict(model, save_embedding_layers=False)
        model = get_peft_model(base, model.active_peft_config)
        set_peft_model_state_dict(model, learned)
    adapted: Any = model  # PEFT's merging methods have no types
    plain: PreTrainedModel = adapted.merge_and_unload()
    return plain


def save_policy(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, path: str | Path, base: str | None = None
) -> None:
    """Write a policy and its tokenizer to the directory `path`; equal policies give equal bytes.

    A plain model loads with `AutoModelForCausalLM.from_pretrained(path)`, one with adapters, of which only these are
    written, with `AutoPeftModelForCausalLM.from_pretrained(path)`.

    Args:
        model: what to save.
        tokenizer: the policy's own.
        path: directory, created if missing.
        base: what an adapter's reader resolves to the base model: hub name or directory. `load_policy` also takes
            one relative to `path`, so that the two can move together.
    """
    target = Path(path)
    tokenizer.save_pretrained(target)
    if isinstance(model, PreTrainedModel):
        model.save_pretrained(target)
        return
    # "auto" would ask the hub whether the vocabulary has grown.
    model.save_pretrained(str(target), save_embedding_layers=False)
    (target / "README.md").unlink(missing_ok=True)  # an empty form, with this machine's paths in it
    config = json.loads((target / _ADAPTER).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # a set's order would change from process to process
    (target / _ADAPTER).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def load_policy(path: str | Path) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """Read what `save_policy` wrote: the model in evaluation mode, and the tokenizer.

    Adapters are merged into weights of 32 bits. Those of 16 bits would round most of a small change away, so there the
    adapters stay beside them, as they were trained.

    Raises:
        DataError: the directory holds no policy, or its adapter names no base model that exists here.
    """
    source = Path(path)
    if not (source / _ADAPTER).is_file():
        if not (source / _FULL).is_file():
            raise DataError(f"{source}: holds no policy; expected {_FULL} or {_ADAPTER}")
        model: Any = AutoModelForCausalLM.from_pretrained(source)
    else:
        from peft import PeftModel

        base = _load_base(source)
        model = PeftModel.from_pretrained(base, str(source))
        if torch.finfo(base.dtype).bits >= 32:
            model = model.merge_and_unload()
    return model.eval(), AutoTokenizer.from_pretrained(source)


def _load_base(adapter: Path) -> PreTrainedModel:
    name = json.loads((adapter / _ADAPTER).read_text(encoding="utf-8")).get("base_model_name_or_path")
    beside = adapter / (name or "")
    if not name:
        raise DataError(f"{adapter / _ADAPTER}: base_model_name_or_path is {name!r}; write the base model's directory")
    try:
        return AutoModelForCausalLM.from_pretrained(beside if (beside / _FULL).is_file() else name)
    except OSError as error:
        raise DataError(f"{adapter / _ADAPTER}: base model {name!r} cannot be loaded: {error}") from error
