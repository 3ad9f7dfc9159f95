"""Data for behaviour cloning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from torch.utils.data import Dataset

from depo_lightning.choices import Grouping
from depo_lightning.data.order import Share, bucketed, share_of
from depo_lightning.data.packing import Packing
from depo_lightning.data.resumable import BatchesModule
from depo_lightning.data.rows import TokenRows, TokenSequence, check_spans, trajectory_row
from depo_lightning.data.trees import consecutive_trees, find_trees
from depo_lightning.errors import ConfigError, DataError
from depo_lightning.modules.batches import TokenBatch
from depo_lightning.modules.packed import PackedBatch


class SftDataset(Dataset[TokenBatch | PackedBatch]):
    """Conversations whose agent turns are to be learned; an item is a batch, or a part, by indices."""

    def __init__(self, sequences: Sequence[TokenSequence], packing: Packing | None = None) -> None:
        self.packing = packing
        if not sequences:
            raise DataError("training data: 0 conversations; expected at least one; loosen the filter or collect more")
        check_spans([(f"conversation {index}", sequence) for index, sequence in enumerate(sequences)])
        self.rows = TokenRows(trajectory_row(sequence) for sequence in sequences)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: np.ndarray | Share) -> TokenBatch | PackedBatch:
        share = share_of(wanted)
        batch = self.rows.sequences(share.rows, self.packing)
        batch.part = share.part(self.rows.scored)
        return batch


class SftDataModule(BatchesModule):
    """Token-budget batches of similar lengths, or of whole search trees, shuffled anew in every epoch.

    Args:
        sequences: conversations with their agent spans.
        batch_tokens: most tokens in a batch, padding included; a longer conversation is a batch of its own. Grouped by
            tree: about as many tokens, without padding.
        seed: seed of the order of batches.
        packing: share equal prefixes within a batch; None pads every conversation out on its own.
        grouping: whether the conversations of a task meet in a batch.
        tasks: the task of each conversation; without, each has its own.

    Raises:
        DataError: no conversation, or faulty spans. ConfigError: `batch_tokens` below 1.
    """

    def __init__(
        self,
        sequences: Sequence[TokenSequence],
        batch_tokens: int,
        seed: int,
        packing: Packing | None = None,
        grouping: Grouping = Grouping.none,
        tasks: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if batch_tokens < 1:
            raise ConfigError(f"bc.batch_tokens={batch_tokens}: must be 1 or more; about 1000 suits a tiny model")
        self.dataset = SftDataset(sequences, packing)
        self.seed = seed
        rows = self.dataset.rows
        self.plan = partial(bucketed, rows.lengths, batch_tokens)
        if grouping is Grouping.tree:
            trees = find_trees(tasks or [str(row) for row in range(len(rows))], rows)
            self.plan = partial(consecutive_trees, trees, rows.lengths, batch_tokens)
