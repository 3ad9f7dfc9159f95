"""Attention over packed sequences, for any model of `transformers` that takes its attention from the interface.

Every stretch of new tokens attends to its prefix and to itself, and to nothing else: the work is exactly that of the
pairs of tokens that see each other, however many trees a pass holds. No mask of the whole pass exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv

from depo_lightning.errors import ConfigError
from depo_lightning.kernels import without_plans
from depo_lightning.modules.packed import Stretch, lower_right, visible

NAME = "depo_packed"
_BEYOND = ("softcap", "s_aux", "position_bias", "sliding_window")  # what models hand to attention beside q, k, v
_CHUNK = 128  # queries at a time on a CPU, whose kernel computes hidden keys as well: the fewer, the less of them


class Layout:
    """What attention has to know about the pass that goes through the model, the same for all layers.

    Args:
        stretches: the tokens of the pass.
        exits: (N,) the ends of their subtrees, where FlexAttention is to compute them; else stretch by stretch.
        keep: whether keys and values are to be kept, for branches.
        checkpointing: keep no graph of the attention, only its inputs, which a checkpoint can let go of.
        base: the pass whose kept keys and values stand before those of this one.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        exits: Tensor | None = None,
        keep: bool = False,
        checkpointing: bool = False,
        base: Layout | None = None,
    ) -> None:
        self.stretches = stretches
        self.exits = exits
        self.keep = keep
        self.checkpointing = checkpointing
        self.base = base
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._masks: dict[tuple[int, int], Tensor] = {}
        self._block_mask: BlockMask | None = None

    def forget(self) -> None:
        """Let go of kept keys and values, and keep none of a second pass over the layers."""
        self.keep = False
        self.kept.clear()

    def block_mask(self, exits: Tensor) -> BlockMask:
        """Which blocks of the mask hold anything to compute, and the mask itself as a function."""
        if self._block_mask is None:

            def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
                return visible(query, key, exits)

            self._block_mask = create_block_mask(sees, None, None, len(exits), len(exits), device=str(exits.device))
        return self._block_mask

    def mask(self, queries: int, keys: int, like: Tensor) -> Tensor | None:
        """(queries, keys) additive mask of queries at the end of the keys; None where nothing is hidden."""
        if queries == 1:
            return None
        if (queries, keys) not in self._masks:
            self._masks[queries, keys] = lower_right(queries, keys, like)
        return self._masks[queries, keys]


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Let the model's decoder take a `layout`; its own attention is put back afterwards."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        with without_plans():
            yield
    finally:
        model.set_attn_implementation(before)


def supports_packing(model: Any) -> bool:
    """Whether packed attention is exact for the model: plain, full attention in all layers, without dropout."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    others = ("sliding_window", "attention_dropout", "attn_pdrop", "attn_logit_softcapping")
    plain = not kinds and not any(getattr(config, name, None) for name in others)
    return bool(getattr(base, "_supports_attention_backend", False)) and plain


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """(1, heads, N, width) of each → (1, N, heads, width).

    Raises:
        ConfigError: the model asks its attention for more than attention.
    """
    assert layout is not None
    if asked := [name for name in _BEYOND if kwargs.get(name) is not None] + ["dropout"] * bool(kwargs.get("dropout")):
        raise ConfigError(f"trainer.packing=prefix: the model's attention has {asked}; set trainer.packing=padding")
    if torch.is_autocast_enabled(query.device.type):
        query, key, value = (states.to(_precision(query.device)) for states in (query, key, value))
    layer: Any = module.layer_idx
    if layout.keep:
        layout.kept[layer] = key.detach(), value.detach()
    if layout.base is not None:
        earlier_keys, earlier_values = layout.base.kept[layer]
        key, value = torch.cat([earlier_keys, key], dim=2), torch.cat([earlier_values, value], dim=2)
    if layout.exits is not None:
        flex = _compiled_flex_attention() if query.is_cuda else flex_attention
        grouped, mask = query.shape[1] != key.shape[1], layout.block_mask(layout.exits)
        return flex(query, key, value, block_mask=mask, scale=scaling, enable_gqa=grouped).transpose(1, 2), None
    return _PackedAttention.apply(query, key, value, layout, scaling).transpose(1, 2), None


@cache
def _compiled_flex_attention() -> Any:
    return torch.compile(flex_attention, dynamic=True)  # hardly two passes are of one size


AttentionInterface.register(NAME, _attention)


class _PackedAttention(torch.autograd.Function):
    """Attention stretch by stretch. Gradients are added in place: one sum over all that see a key."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float | None) -> Tensor:
        ctx.layout, ctx.scale, ctx.shapes, ctx.parts = layout, scale, (query.shape, key.shape, value.shape), None
        wanted = any(ctx.needs_input_grad)
        if wanted and layout.checkpointing:
            ctx.save_for_backward(query, key, value)
        elif wanted:
            ctx.parts = []
        output = query.new_empty(*query.shape[:-1], value.shape[-1])  # values may be of another width than queries
        for part in _parts(query, key, value, layout, scale, ctx.parts is not None):
            output[:, :, part.queries] = part.result.detach()
            if ctx.parts is not None:
                ctx.parts.append(part)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.parts is None:
            saved = ctx.saved_tensors  # read once: a checkpoint computes them again for it
            if not saved:
                raise RuntimeError("packed attention keeps its graph for one backward pass only")
            query, key, value = saved
            parts: Iterable[_Part] = _parts(query, key, value, ctx.layout, ctx.scale, True)
        else:
            parts, ctx.parts = ctx.parts, None
        wide = torch.promote_types(gradient.dtype, torch.float32)  # sums of many parts
        queries, keys, values = (gradient.new_zeros(shape, dtype=wide) for shape in ctx.shapes)
        for part in parts:
            own, seen_keys, seen_values = torch.autograd.grad(part.result, part.inputs, gradient[:, :, part.queries])
            queries[:, :, part.queries] = own
            _add(keys, seen_keys, part.stretch)
            _add(values, seen_values, part.stretch)
        return *(sums.to(gradient.dtype) for sums in (queries, keys, values)), None, None


class _Part(NamedTuple):
    """Attention of some queries of a stretch."""

    stretch: Stretch
    queries: slice  # among those of the pass
    inputs: tuple[Tensor, Tensor, Tensor]  # queries, and the keys and values up to the last of them
    result: Tensor


def _precision(device: torch.device) -> torch.dtype:
    """What attention computes in under autocast; on a CPU its kernel's backward is three times slower in 16 bits."""
    return torch.float32 if device.type == "cpu" else torch.get_autocast_dtype(device.type)


def _parts(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    scale: float | None,
    wanted: bool,
) -> Iterator[_Part]:
    """Compute attention part by part, each with a graph of its own where gradients are wanted."""
    offset = key.shape[2] - query.shape[2]  # tokens of the base
    for stretch in layout.stretches:
        keys, values = (_path(states, stretch) for states in (key, value))
        for start, stop in _chunks(stretch, query):
            seen = stretch.shared + stop - stretch.start
            place = slice(start - offset, stop - offset)
            parts = query[:, :, place], keys[:, :, :seen], values[:, :, :seen]
            q, k, v = (part.detach().requires_grad_(wanted) for part in parts)
            with torch.set_grad_enabled(wanted), torch.autocast(query.device.type, enabled=False):
                result = _attend(q, k, v, layout, scale)
            yield _Part(stretch, place, (q, k, v), result)


def _attend(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float | None) -> Tensor:
    """Attention of queries at the end of the keys, each of which sees all up to itself.

    A GPU's fast kernels take a mask or grouped heads, but not both: what starts a path needs no mask there, and where
    there is one, heads are repeated.
    """
    causal = query.shape[2] == key.shape[2] and not _on_cpu(query)
    mask = None if causal else layout.mask(query.shape[2], key.shape[2], query)
    groups = query.shape[1] // key.shape[1]
    if mask is not None and not _on_cpu(query):
        key, value, groups = repeat_kv(key, groups), repeat_kv(value, groups), 1
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=groups > 1
    )


def _on_cpu(states: Tensor) -> bool:
    return states.device.type == "cpu"


def _chunks(stretch: Stretch, query: Tensor) -> Iterator[tuple[int, int]]:
    size = _CHUNK if _on_cpu(query) else stretch.stop - stretch.start
    for start in range(stretch.start, stretch.stop, size):
        yield start, min(start + size, stretch.stop)


def _path(states: Tensor, stretch: Stretch) -> Tensor:
    """(1, heads, shared + new, width): the states on the stretch's path; no copy where they stand together."""
    ranges = [*stretch.prefix, (stretch.start, stretch.stop)]
    if all(left[1] == right[0] for left, right in pairwise(ranges)):
        return states[:, :, ranges[0][0] : ranges[-1][1]]
    return torch.cat([states[:, :, start:stop] for start, stop in ranges], dim=2)


def _add(total: Tensor, gradient: Tensor, stretch: Stretch) -> None:
    """Add the gradient of the first tokens of a stretch's path."""
    done = 0
    for start, stop in (*stretch.prefix, (stretch.start, stretch.stop)):
        length = min(stop - start, gradient.shape[2] - done)
        total[:, :, start : start + length] += gradient[:, :, done : done + length]
        done += length
        if done == gradient.shape[2]:
            return
