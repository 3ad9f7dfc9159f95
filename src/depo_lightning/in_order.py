"""Results that come as they may, handed on in a fixed order, so that a file can be written while they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class InOrder(Generic[K, T]):
    """Hands each value on as soon as those of all earlier keys are there.

    Args:
        keys: all that will come, each once, in the order wanted.
        take: gets the values.
    """

    def __init__(self, keys: Iterable[K], take: Callable[[T], object]) -> None:
        self._coming, self._take = deque(keys), take
        self._waiting: dict[K, T] = {}

    def put(self, key: K, value: T) -> None:
        """A value has come."""
        self._waiting[key] = value
        while self._coming and self._coming[0] in self._waiting:
            self._take(self._waiting.pop(self._coming.popleft()))
