"""A key–value cache whose rows grow independently, so that episodes enter and leave a batch at any time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

_GROWTH = 128  # positions of storage beyond the need
_SHRINK = 2  # storage this many times longer than needed is given back


@dataclass(slots=True)
class _Plan:
    """What the next forward pass writes and reads; shared by all layers.

    Attributes:
        slots: rows of the cache.
        room: positions that storage holds. It follows the longest row closely, because attention reads strided
            memory at half the speed.
        span: positions that queries see.
        rows: cache row of every batch row, `(B,)`; None for the first B rows in order.
        owners: the same as indices, `(B, 1, 1)`.
        positions: where the new tokens go, `(B, 1, Q)`.
    """

    slots: int
    room: int = 0
    span: int = 0
    rows: Tensor | None = None
    owners: Tensor = field(default_factory=lambda: torch.empty(0))
    positions: Tensor = field(default_factory=lambda: torch.empty(0))


class _RowLayer(CacheLayerMixin):
    """Keys and values of one layer, `(slots, heads, room, width)`."""

    is_sliding = False

    def __init__(self, plan: _Plan) -> None:
        super().__init__()
        self.plan = plan

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys, self.values = (
            states.new_zeros(self.plan.slots, states.shape[1], self.plan.room, states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Store the new states, each `(B, heads, Q, width)`; returns `(B, heads, span, width)` of the rows in turn."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        self.keys, self.values = _resized(self.keys, self.plan.room), _resized(self.values, self.plan.room)
        return self._store(self.keys, key_states), self._store(self.values, value_states)

    def _store(self, stored: Tensor, states: Tensor) -> Tensor:
        plan = self.plan
        heads = torch.arange(stored.shape[1], device=stored.device)[:, None]
        stored[plan.owners, heads, plan.positions] = states
        seen = stored[:, :, : plan.span]
        return seen[: len(states)] if plan.rows is None else seen[plan.rows]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a row."""
        for stored in (self.keys, self.values):
            assert stored is not None
            stored[target, :, :length] = stored[source, :, :length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.plan.span, 0

    def get_seq_length(self) -> int:
        return self.plan.span

    def get_max_length(self) -> int:
        return -1


class RowCache(Cache):
    """Cache of `slots` rows, each with a length of its own that the caller keeps.

    Before every forward pass `aim` says where its tokens go. Positions beyond a row's length hold leftovers; the
    caller's attention mask hides them and later tokens overwrite them.
    """

    def __init__(self, slots: int) -> None:
        self.plan = _Plan(slots)
        # Layers come into being as the model first updates them; the base class only ever calls this.
        super().__init__(layer_class_to_replicate=partial(_RowLayer, self.plan))  # type: ignore[arg-type]

    def aim(self, rows: Tensor | None, positions: Tensor, span: int) -> None:
        """Say what the next pass does.

        Args:
            rows: the rows it serves, `(B,)`; None for the first B, which must then be all rows in use.
            positions: of the new tokens in their rows, `(B, Q)`.
            span: key positions that are read; at least the longest of these rows after the pass.
        """
        plan = self.plan
        plan.rows, plan.span, plan.positions = rows, span, positions[:, None]
        plan.owners = (torch.arange(len(positions), device=positions.device) if rows is None else rows)[:, None, None]
        # Moving storage costs more than reading too much of it for a while. And only a pass over all rows knows that
        # nothing beyond its span is needed.
        if span > plan.room or (rows is None and span * _SHRINK < plan.room):
            plan.room = span + _GROWTH

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of row `source` to row `target`, in every layer."""
        for layer in self.layers:
            assert isinstance(layer, _RowLayer)
            layer.move(source, target, length)


def _resized(stored: Tensor, room: int) -> Tensor:
    """The same positions in storage of `room` positions."""
    slots, heads, held, width = stored.shape
    if held == room:
        return stored
    resized = stored.new_empty(slots, heads, room, width)
    kept = min(held, room)
    resized[:, :, :kept] = stored[:, :, :kept]
    resized[:, :, kept:] = 0  # hidden keys have weight 0, and 0 × NaN would be NaN
    return resized
