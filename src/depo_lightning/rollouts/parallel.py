"""Rollouts on several CPU cores: a tiny model leaves a second core idle, so episodes are shared out over processes."""

from __future__ import annotations

import ctypes
import multiprocessing
import queue
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.envs.base import TextEnv
from depo_lightning.errors import MachineError
from depo_lightning.rollouts.engine import listed, play_each
from depo_lightning.rollouts.settings import RolloutSettings
from depo_lightning.trajectory import Trajectory

_LOOK = 1.0  # seconds between two looks at whether a silent process still lives


def play_parallel(
    model: nn.Module,
    renderer: ChatRenderer,
    make_env: Callable[[], TextEnv],
    tasks: Sequence[int],
    settings: RolloutSettings,
    workers: int,
    progress: Callable[[Trajectory], None] | None = None,
    drafts: Sequence[Trajectory] = (),
) -> list[Trajectory]:
    """`play_parallel_each`, with the trajectories in a list, in the order of `tasks`."""
    arguments = (model, renderer, make_env, tasks, settings, workers)
    return listed(tasks, progress, lambda keep: play_parallel_each(*arguments, keep, drafts))


def play_parallel_each(
    model: nn.Module,
    renderer: ChatRenderer,
    make_env: Callable[[], TextEnv],
    tasks: Sequence[int],
    settings: RolloutSettings,
    workers: int,
    keep: Callable[[int, Trajectory], object],
    drafts: Sequence[Trajectory] = (),
) -> None:
    """`play_each` over `workers` forked processes of one thread each; a model not on the CPU is played in this one.

    Every worker has its own share of the tasks, so the result depends on `workers` by rounding only: noise belongs to
    the episode.

    Raises:
        MachineError: a process died or raised.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    if workers == 1 or not on_cpu or len(tasks) < 2 * workers:
        return play_each(model, renderer, make_env, tasks, settings, keep, drafts)
    context = multiprocessing.get_context("fork")  # shares the weights; safe as for DataLoader: one thread, no CUDA
    played: Any = context.Queue()
    origin = make_env().origin
    shares = _shares(tasks, lambda task: origin(task)[0], workers)
    arguments = (model, renderer, make_env, settings, drafts, played)
    processes = [context.Process(target=_work, args=(share, *arguments), daemon=True) for share in shares]
    try:
        for process in processes:
            process.start()
        _gather(played, processes, len(tasks), keep)
    except BaseException:
        for process in processes:
            if process.pid is not None:
                process.kill()
        raise
    finally:
        for process in processes:
            if process.pid is not None:
                process.join()


def _shares(tasks: Sequence[int], env_of: Callable[[int], str], workers: int) -> list[list[int]]:
    """The tasks of each worker, in order: of each environment about as many, since one may take longer than another."""
    alike = sorted(range(len(tasks)), key=lambda place: env_of(tasks[place]))
    return [[tasks[place] for place in sorted(alike[index::workers])] for index in range(workers)]


def _work(
    tasks: Sequence[int],
    model: nn.Module,
    renderer: ChatRenderer,
    make_env: Callable[[], TextEnv],
    settings: RolloutSettings,
    drafts: Sequence[Trajectory],
    played: Any,
) -> None:
    torch.set_num_threads(1)
    _die_with_parent()
    try:
        play_each(model, renderer, make_env, tasks, settings, lambda *ended: played.put(ended), drafts)
    except BaseException:
        played.put(traceback.format_exc())
    played.close()
    played.join_thread()


def _die_with_parent() -> None:
    """A killed run must not leave its workers behind; Linux can see to that."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _gather(played: Any, processes: Sequence[Any], count: int, keep: Callable[[int, Trajectory], object]) -> None:
    while count:
        if any(process.exitcode for process in processes):
            raise MachineError(
                "a rollout process died (killed, or out of memory?); set rollout.workers=1 or a smaller "
                "rollout.batch_size"
            )
        try:
            item = played.get(timeout=_LOOK)
        except queue.Empty:
            continue
        if isinstance(item, str):
            raise MachineError(f"a rollout process failed:\n{item}")
        keep(*item)
        count -= 1
