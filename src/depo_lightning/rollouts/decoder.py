"""The model's side of a rollout: feed tokens to rows of the cache, get the distribution of the next token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from depo_lightning.rollouts.cache import RowCache

_SPAN = 32  # key positions are read in multiples of this


class Decoder:
    """A causal language model with a cache of `slots` rows.

    Attributes:
        device: where logits live.
    """

    def __init__(self, model: nn.Module, slots: int, max_context: int) -> None:
        parameter = next(model.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self._model = model
        self._cache = RowCache(slots)
        self._last_position = max_context - 1

    def feed(self, rows: Sequence[int] | None, tokens: Sequence[Sequence[int]], lengths: Sequence[int]) -> Tensor:
        """Append tokens to rows and return the logits that follow the last one of each.

        Args:
            rows: cache rows; None for the first `len(tokens)` in order, which saves a copy of their keys.
            tokens: one or more new tokens per row.
            lengths: tokens that each row holds already.

        Returns:
            `(B, V)` in the model's dtype.
        """
        width = max(map(len, tokens))
        ids = np.zeros((len(tokens), width), dtype=np.int64)
        for row, new in zip(ids, tokens, strict=True):
            row[width - len(new) :] = new
        # Padding stands on the left, so that the last column is every row's last token. It is written behind the new
        # tokens, where no query looks before later tokens have replaced it.
        padding = width - np.fromiter(map(len, tokens), dtype=np.int64)
        starts = np.fromiter(lengths, dtype=np.int64)
        index = starts[:, None] + (np.arange(width) - padding[:, None]) % width
        span = -(-int(index.max() + 1) // _SPAN) * _SPAN
        positions = self._to_device(index)
        self._cache.aim(None if rows is None else self._to_device(np.asarray(rows)), positions, span)
        output = self._model(
            input_ids=self._to_device(ids),
            attention_mask=self._mask(positions, span),
            # Padding may lie beyond the last position a learned table knows.
            position_ids=positions.clamp(max=self._last_position),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row of `length` tokens over another."""
        self._cache.move(source, target, length)

    def _mask(self, positions: Tensor, span: int) -> Tensor:
        """Additive mask `(B, 1, Q, span)`: a token sees its own row up to itself."""
        hidden = torch.arange(span, device=self.device) > positions[:, None, :, None]
        return torch.zeros(hidden.shape, dtype=self._dtype, device=self.device).masked_fill_(
            hidden, torch.finfo(self._dtype).min
        )

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)
