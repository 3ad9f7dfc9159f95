"""Running coroutines from ordinary code, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
X = TypeVar("X")


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also from code that a running event loop called (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()


async def map_limited(function: Callable[[X], Awaitable[T]], items: Iterable[X], limit: int) -> list[T]:
    """Apply an async function to every item, at most `limit` in flight; results in the order of the items.

    The first error cancels what has not finished and is raised.
    """
    remaining = enumerate(items)
    results: dict[int, T] = {}

    async def work() -> None:
        for index, item in remaining:
            results[index] = await function(item)
            await asyncio.sleep(0)  # a function that waits for nothing lets others, and an interrupt, have their turn

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(work())
    except BaseExceptionGroup as problems:
        raise problems.exceptions[0] from None
    return [results[index] for index in range(len(results))]
