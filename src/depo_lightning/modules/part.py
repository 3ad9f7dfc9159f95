"""What a micro-batch is of its batch, the batch of an optimizer step: parts lie on devices, and follow one another."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """How the losses of a part are reduced, so that the mean over all parts is the mean over the whole batch.

    Attributes:
        divisor: what the part's sum of losses is divided by: the batch's count over the number of parts. Infinite for
            a part that only keeps its device in step with the others; its rows count nothing.
        first, last: whether it is the first, or the last, that its device computes of the batch.
    """

    divisor: float
    first: bool = True
    last: bool = True
