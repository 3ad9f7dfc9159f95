"""A key–value cache whose rows grow independently, so that episodes enter and leave a batch at any time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

_GROWTH = 1.25  # rows of storage for every row needed
_SHRINK = 2  # storage for this many times the rows needed is given back

States = list[tuple[Tensor, Tensor]]
"""Keys and values of one row in every layer, each `(heads, length, width)`."""


@dataclass(slots=True)
class _Plan:
    """What the next forward pass writes and reads; shared by all layers.

    Attributes:
        room: positions that storage holds for every row.
        slots: rows that storage holds.
        span: positions that queries see.
        positions: where the new tokens go, `(B, 1, Q)`.
    """

    room: int
    slots: int = 0
    span: int = 0
    positions: Tensor = field(default_factory=lambda: torch.empty(0))


class _RowLayer(CacheLayerMixin):
    """Keys and values of one layer, `(slots, heads, room, width)`."""

    is_sliding = False

    def __init__(self, plan: _Plan) -> None:
        super().__init__()
        self.plan = plan

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys, self.values = (
            states.new_zeros(self.plan.slots, states.shape[1], self.plan.room, states.shape[-1])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Store the new states, each `(B, heads, Q, width)`; returns `(B, heads, span, width)` of the first B rows."""
        keys, values = self.stored(key_states[0], value_states[0])
        return self._store(keys, key_states), self._store(values, value_states)

    def _store(self, stored: Tensor, states: Tensor) -> Tensor:
        rows = torch.arange(len(states), device=stored.device)[:, None, None]
        heads = torch.arange(stored.shape[1], device=stored.device)[:, None]
        stored[rows, heads, self.plan.positions] = states
        return stored[: len(states), :, : self.plan.span]

    def stored(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All storage, of as many rows as planned; it comes into being for states like a row's `keys` and `values`."""
        if not self.is_initialized:
            self.lazy_initialization(keys[None], values[None])
        assert self.keys is not None
        assert self.values is not None
        self.keys, self.values = _resized(self.keys, self.plan.slots), _resized(self.values, self.plan.slots)
        return self.keys, self.values

    def read(self, row: int, length: int) -> tuple[Tensor, Tensor]:
        """The first `length` positions of a row; a view."""
        assert self.keys is not None
        assert self.values is not None
        return self.keys[row, :, :length], self.values[row, :, :length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.plan.span, 0

    def get_seq_length(self) -> int:
        return self.plan.span

    def get_max_length(self) -> int:
        return -1


class RowCache(Cache):
    """Cache of rows that hold up to `capacity` tokens each; how many they hold is the caller's to know.

    Before every forward pass `aim` says where its tokens go. Positions beyond a row's length hold leftovers; the
    caller's attention mask hides them and later tokens overwrite them. Position `capacity` is scratch.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.plan = _Plan(capacity + 1)
        # Layers come into being as the model first updates them; the base class only ever calls this.
        super().__init__(layer_class_to_replicate=partial(_RowLayer, self.plan))  # type: ignore[arg-type]

    def reserve(self, rows: int) -> None:
        """Make room for so many rows, and give back what far exceeds it."""
        if rows > self.plan.slots or rows * _SHRINK < self.plan.slots:
            self.plan.slots = int(rows * _GROWTH)

    def aim(self, positions: Tensor, span: int) -> None:
        """Say what the next pass does to the first B rows.

        Args:
            positions: of the new tokens in their rows, `(B, Q)`.
            span: key positions that are read; at least the longest of these rows after the pass.
        """
        self.plan.positions, self.plan.span = positions[:, None], span

    def read(self, row: int, length: int) -> States:
        """The first `length` positions of a row, in every layer; a view."""
        return [layer.read(row, length) for layer in self.layers if isinstance(layer, _RowLayer)]

    def write(self, row: int, states: States) -> None:
        """Set the first positions of a row, in every layer."""
        for index, (keys, values) in enumerate(states):
            if index == len(self.layers):
                self.layers.append(_RowLayer(self.plan))
            layer = self.layers[index]
            assert isinstance(layer, _RowLayer)
            for stored, new in zip(layer.stored(keys, values), (keys, values), strict=True):
                stored[row, :, : new.shape[1]] = new

    def positions_held(self) -> int:
        """Positions that storage holds, rows taken together."""
        return self.plan.slots * self.plan.room


def _resized(stored: Tensor, slots: int) -> Tensor:
    """The same rows in storage of `slots` rows."""
    if len(stored) == slots:
        return stored
    resized = stored.new_zeros(slots, *stored.shape[1:])  # hidden keys have weight 0, and 0 × NaN would be NaN
    kept = min(len(stored), slots)
    resized[:kept] = stored[:kept]
    return resized
