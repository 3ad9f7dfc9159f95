"""Searching many tasks: processes for the environments' arithmetic, coroutines for a teacher's waiting.

Worker processes import this module and what it imports: keep torch and transformers out of that chain.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from math import ceil

from depo_lightning.agents.teacher import Teacher
from depo_lightning.collect.aio import map_limited, run_async
from depo_lightning.collect.journal import Journal, tree_from_row, tree_row
from depo_lightning.collect.mcts import SearchSettings, TreeReport, TreeResult, search_tree
from depo_lightning.envs.base import TextEnv
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.in_order import InOrder
from depo_lightning.trajectory import Trajectory

_CHUNKS_PER_WORKER = 8  # so that the last chunks end at about the same time
_MAX_CHUNK = 32  # so that progress is seen
_CHUNKS_AHEAD = 2  # per worker: so many are handed out at a time


@dataclass(frozen=True)
class _Job:
    """All that a process needs to search its share of the tasks; picklable."""

    make_env: Callable[[], TextEnv]
    make_teacher: Callable[[], Teacher]
    settings: SearchSettings
    seed: int
    concurrency: int


def collect(
    make_env: Callable[[], TextEnv],
    make_teacher: Callable[[], Teacher],
    tasks: Sequence[int],
    settings: SearchSettings,
    seed: int,
    workers: int = 1,
    concurrency: int = 1,
    on_tree: Callable[[TreeReport], None] | None = None,
    journal: Journal | None = None,
) -> list[Trajectory]:
    """`collect_each` with the episodes in a list."""
    found: list[Trajectory] = []
    collect_each(make_env, make_teacher, tasks, settings, seed, found.append, workers, concurrency, on_tree, journal)
    return found


def collect_each(
    make_env: Callable[[], TextEnv],
    make_teacher: Callable[[], Teacher],
    tasks: Sequence[int],
    settings: SearchSettings,
    seed: int,
    keep: Callable[[Trajectory], object],
    workers: int = 1,
    concurrency: int = 1,
    on_tree: Callable[[TreeReport], None] | None = None,
    journal: Journal | None = None,
) -> None:
    """Search every task and hand on the episodes found, in the order of the tasks.

    The result depends on the arguments up to `seed`, not on `workers` or `concurrency`. A teacher that is an
    asynchronous context manager is entered before the first tree and left after the last; then `workers` is 1.

    Args:
        make_env, make_teacher: build one of each; picklable (a module's function or a `functools.partial` of one)
            where `workers` is above 1.
        tasks: indices, each once.
        settings: the search's budget and constants.
        seed: decides the teacher's draws, together with each task's index.
        keep: called in this process with each episode, as soon as those of all earlier tasks are there.
        workers: processes; 1 searches in this one.
        concurrency: trees in flight per process, each with its own environment; above 1 it pays where the teacher
            waits for a server.
        on_tree: called in this process with the report of each tree as it comes in, in no fixed order.
        journal: trees that it holds are not searched; each tree is added as it finishes, unless it crashed or
            lost questions to refusals.

    Raises:
        ConfigError: workers or concurrency below 1, or a task listed twice.
        MachineError: a worker process died, or every single search crashed.
    """
    _check(tasks, workers, concurrency)
    job = _Job(make_env, make_teacher, settings, seed, concurrency)
    errors: list[str] = []

    def hand_on(result: TreeResult) -> None:
        for trajectory in result.trajectories:
            keep(trajectory)

    ordered = InOrder(tasks, hand_on)

    def take(result: TreeResult, known: bool = False) -> None:
        if journal is not None and not known and not result.report.error and not result.report.refused:
            journal.append(tree_row(result))
        if result.report.error:
            errors.append(result.report.error)
        if on_tree:
            on_tree(result.report)
        ordered.put(result.report.task, result)

    stored = {result.report.task: result for result in journal.read(tree_from_row)} if journal is not None else {}
    for task in tasks:
        if task in stored:
            take(stored[task], known=True)
    left = [task for task in tasks if task not in stored]
    if left and workers == 1:
        run_async(_Bench(job).search(left, take))
    elif left:
        _in_processes(job, left, workers, take)
    if errors and len(errors) == len(tasks):
        raise MachineError(
            f"all {len(errors)} searches crashed, so nothing was collected; the first error: {errors[0]}"
        )


def _check(tasks: Sequence[int], workers: int, concurrency: int) -> None:
    faults = [
        f"search.{name}={value!r}: at least 1; choose a positive integer"
        for name, value in (("workers", workers), ("concurrency", concurrency))
        if value < 1
    ]
    if len(set(tasks)) < len(tasks):
        twice = sorted(task for task in set(tasks) if list(tasks).count(task) > 1)
        faults.append(f"tasks {twice[:5]} are listed twice; a task's episodes share their ids, so list each task once")
    if faults:
        raise ConfigError(faults)


def _chunks(tasks: Sequence[int], workers: int, concurrency: int) -> list[Sequence[int]]:
    size = max(min(ceil(len(tasks) / (workers * _CHUNKS_PER_WORKER)), _MAX_CHUNK), concurrency, 1)
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]


def _in_processes(job: _Job, tasks: Sequence[int], workers: int, take: Callable[[TreeResult], None]) -> None:
    context = multiprocessing.get_context("spawn")  # forking a process that runs torch's threads can hang
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_set_job, initargs=(job,))
    try:
        chunks = deque(_chunks(tasks, workers, job.concurrency))
        running: set[Future[list[TreeResult]]] = set()
        while chunks or running:
            while chunks and len(running) < _CHUNKS_AHEAD * workers:
                running.add(pool.submit(_work, chunks.popleft()))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for result in (result for future in done for result in future.result()):
                take(result)
    except BrokenProcessPool as problem:
        raise MachineError(
            "a search process died without a Python error (killed, or out of memory?); "
            f"run again with fewer processes than search.workers={workers}"
        ) from problem
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Bench:
    """The environments and the teacher of one process, built once."""

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.teacher = job.make_teacher()
        self.envs = [job.make_env() for _ in range(job.concurrency)]

    async def search(self, tasks: Sequence[int], take: Callable[[TreeResult], None]) -> None:
        """Search the tasks, as many at a time as there are environments."""
        free = list(self.envs)

        async def one(task: int) -> None:
            env = free.pop()
            try:
                take(await search_tree(env, self.teacher, task, self.job.settings, self.job.seed))
            finally:
                free.append(env)

        async with AsyncExitStack() as stack:
            if isinstance(self.teacher, AbstractAsyncContextManager):
                await stack.enter_async_context(self.teacher)
            await map_limited(one, tasks, len(self.envs))


_job: _Job | None = None  # these three are a worker process's own
_bench: _Bench | None = None
_loop: asyncio.Runner | None = None  # one event loop for the process's life, since HTTP clients belong to a loop


def _set_job(job: _Job) -> None:
    global _job
    _job = job


def _work(tasks: Sequence[int]) -> list[TreeResult]:
    global _bench, _loop
    assert _job is not None
    if _bench is None or _loop is None:  # built here, not in the initializer, whose errors a pool does not hand on
        _bench, _loop = _Bench(_job), asyncio.Runner()
    results: list[TreeResult] = []
    _loop.run(_bench.search(tasks, results.append))
    return results
