"""The model's side of a rollout: feed tokens to rows of a cache, get the distributions of the tokens that follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from depo_lightning.rollouts.cache import RowCache

_SPAN = 32  # key positions are read in multiples of this


class Decoder:
    """A causal language model that feeds rows of caches.

    Attributes:
        device: where logits live.
    """

    def __init__(self, model: nn.Module) -> None:
        parameter = next(model.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self._model = model

    def feed(
        self, cache: RowCache, tokens: Sequence[Sequence[int]], lengths: Sequence[int], wanted: Sequence[int]
    ) -> Tensor:
        """Append tokens to the first rows of a cache and return logits that follow the last ones.

        Args:
            cache: with room for the tokens.
            tokens: one or more new tokens per row.
            lengths: tokens that each row holds already.
            wanted: number of last tokens of each row whose logits are returned.

        Returns:
            `(sum of wanted, V)` in the model's dtype, row after row.
        """
        counts = np.fromiter(map(len, tokens), dtype=np.int64)
        width = int(counts.max())
        ids = np.zeros((len(tokens), width), dtype=np.int64)
        for row, new in zip(ids, tokens, strict=True):
            row[width - len(new) :] = new
        # Padding stands on the left, so that the last column is every row's last token, and goes to the scratch
        # position behind each row.
        offsets = np.arange(width) - (width - counts)[:, None]
        starts = np.fromiter(lengths, dtype=np.int64)
        index = np.where(offsets < 0, cache.capacity, starts[:, None] + offsets)
        span = min(-(-int((starts + counts).max()) // _SPAN) * _SPAN, cache.capacity)
        positions = self._to_device(index)
        cache.aim(positions, span)
        keep = max(1, *wanted)
        output = self._model(
            input_ids=self._to_device(ids),
            attention_mask=self._mask(positions, span),
            position_ids=self._to_device(np.where(offsets < 0, 0, index)),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        chosen = np.arange(keep) >= keep - np.fromiter(wanted, dtype=np.int64)[:, None]
        return output.logits.flatten(0, 1)[self._to_device(np.flatnonzero(chosen))]

    def _mask(self, positions: Tensor, span: int) -> Tensor:
        """Additive mask `(B, 1, Q, span)`: a token sees its own row up to itself."""
        hidden = torch.arange(span, device=self.device) > positions[:, None, :, None]
        return torch.zeros(hidden.shape, dtype=self._dtype, device=self.device).masked_fill_(
            hidden, torch.finfo(self._dtype).min
        )

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)
