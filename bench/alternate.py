"""Two contenders by turns, so that what the machine does meanwhile hits both alike."""

from __future__ import annotations

from collections.abc import Callable


def alternate(
    ours: Callable[[], float], peer: Callable[[], float] | None, repetitions: int
) -> tuple[list[float], list[float]]:
    """Run both `repetitions` times; who goes first changes every time.

    Args:
        ours: measures once and returns the figure.
        peer: the same for the other; None where there is none.
        repetitions: at least 1.

    Returns:
        The figures of ours and of the peer, in the order of repetitions; the latter empty without a peer.
    """
    figures: tuple[list[float], list[float]] = ([], [])
    for repetition in range(repetitions):
        contenders = [(ours, figures[0])] + ([(peer, figures[1])] if peer is not None else [])
        for measure, values in contenders if repetition % 2 == 0 else reversed(contenders):
            values.append(measure())
    return figures
