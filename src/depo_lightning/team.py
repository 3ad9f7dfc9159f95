"""The processes that train together. The first one runs the pipeline; the others join it for each training.

On one node the first process starts the others when the first training begins. On several, torchrun starts all of them
(`python -m torch.distributed.run --nnodes=… --nproc-per-node=… run.py trainer=ddp …`). Either way the others wait to be
told a stage, compute it as the first one does up to its training, train with it, and wait again: they write nothing.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from depo_lightning.errors import MachineError

if TYPE_CHECKING:
    from torch.distributed import TCPStore

    from depo_lightning.config import Config, TrainerConfig

_HERE = "127.0.0.1"
_PATIENCE = timedelta(days=30)  # others wait while the first process searches, plays and evaluates
_GRACE = 30.0  # seconds in which the first process may notice by itself that another one died
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class Trained(Exception):
    """Ends a stage in a process that has only trained with the first one."""


@dataclass
class Team:
    """This process among those that train together.

    Attributes:
        rank: its number; 0 is the one that runs the pipeline.
        size: how many they are.
        local: its number on this node.
        others: the processes that this one has started.
    """

    rank: int
    size: int
    local: int = 0
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)


_team: Team | None = None  # once the processes are connected
_config: Config | None = None  # of the run that this process leads


def rank() -> int:
    """This process's number, as torchrun (or the first process) has told it."""
    return int(os.environ["RANK"]) if started_together() else 0


def started_together() -> bool:
    """Whether torchrun, or the first process, has started this one."""
    return all(name in os.environ for name in _TORCHRUN)


def size(trainer: TrainerConfig) -> int:
    """How many processes train."""
    return trainer.devices * trainer.nodes


def faults(config: Config) -> Iterator[str]:
    """What is wrong with how the processes were started."""
    trainer = config.trainer
    if not started_together():
        if trainer.nodes > 1:
            yield (
                f"trainer.nodes={trainer.nodes}: on several nodes start with torchrun --nnodes={trainer.nodes} "
                f"--nproc-per-node={trainer.devices} --rdzv-endpoint=HOST:PORT run.py …, on each of them"
            )
    elif int(os.environ["WORLD_SIZE"]) != size(trainer):
        yield (
            f"trainer.devices={trainer.devices}, nodes={trainer.nodes}: torchrun started {os.environ['WORLD_SIZE']} "
            "processes; devices is --nproc-per-node, nodes is --nnodes"
        )
    elif config.sweep and size(trainer) > 1:
        yield "-m: torchrun runs one job; for a sweep start plain python, which starts the processes of each job"


@contextmanager
def lead(config: Config) -> Iterator[None]:
    """In the first process: the others are let go at the end."""
    global _config
    if started_together() and size(config.trainer) > 1:
        _connect(config.trainer, Team(rank(), size(config.trainer), int(os.environ["LOCAL_RANK"])))
    _config = config
    try:
        yield
        if _team is not None:
            _tell(None)
    finally:
        _config = None
        _disband()


def meet(stage: str) -> Team:
    """What a training calls before it begins, in each process: the first lets the others compute the same stage.

    Args:
        stage: name and key of the stage that trains, as its directory is called.
    """
    if rank() == 0:
        if _team is None:
            assert _config is not None, "several processes train within a run of the pipeline"
            _start(_config)
        with deaths():
            _tell(stage)
    assert _team is not None
    return _team


def serve(config: Config, store: TCPStore | None = None) -> None:
    """In each other process: compute the stages that the first one calls, until it has no more."""
    from depo_lightning.plan import plan
    from depo_lightning.stages.context import Context
    from depo_lightning.store import Store

    _connect(config.trainer, Team(rank(), size(config.trainer), int(os.environ["LOCAL_RANK"])), store)
    artifacts = Store(config.store)
    stages = {artifacts.partial(stage).name: stage for _, _, stage in plan(config, Context(config)).steps}
    while (name := _told()) is not None:
        with suppress(Trained):
            stages[name].compute(artifacts.partial(stages[name]), artifacts.inputs(stages[name]))


@contextmanager
def deaths() -> Iterator[None]:
    """Name the cause where a training fails because another process has died.

    Raises:
        MachineError: one has.
    """
    try:
        yield
    except RuntimeError as error:
        time.sleep(1.0)  # its exit takes a moment
        if _team is not None and any(process.poll() for process in _team.others):
            raise MachineError(
                "a process that trains with this one died (killed, or out of memory?); its message stands above; the "
                "same command goes on from the last checkpoint"
            ) from error
        raise


def _start(config: Config) -> None:
    """Start the other processes of this node, and connect."""
    from torch.distributed import TCPStore

    count = size(config.trainer)
    store = TCPStore(_HERE, 0, count, is_master=True, wait_for_workers=False)
    team = Team(0, count)
    command = [sys.executable, "-m", "depo_lightning.team"]
    for number in range(1, count):
        values = (str(number), str(count), str(number), _HERE, str(store.port))
        environment = {**os.environ, **dict(zip(_TORCHRUN, values, strict=True))}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
        assert process.stdin is not None
        pickle.dump(config, process.stdin)
        process.stdin.flush()
        team.others.append(process)
    threading.Thread(target=_watch, args=(team,), daemon=True).start()
    _connect(config.trainer, team, store)


def _connect(trainer: TrainerConfig, team: Team, store: TCPStore | None = None) -> None:
    global _team
    import torch.distributed as dist

    backend = "gloo" if trainer.accelerator == "cpu" else "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, rank=team.rank, world_size=team.size, timeout=_PATIENCE, store=store)
    _team = team


def _tell(stage: str | None) -> None:
    import torch.distributed as dist

    dist.broadcast_object_list([stage], src=0, device="cpu")  # type: ignore[arg-type]


def _told() -> str | None:
    import torch.distributed as dist

    received: list[str | None] = [None]
    dist.broadcast_object_list(received, src=0, device="cpu")  # type: ignore[arg-type]
    return received[0]


def _disband() -> None:
    global _team
    team, _team = _team, None
    if team is None:
        return
    import torch.distributed as dist

    for process in team.others:
        assert process.stdin is not None
        process.stdin.close()  # they end when this closes, if they have not already
        process.wait()
    dist.destroy_process_group()


def _watch(team: Team) -> None:
    """End this process when another one dies and it hangs in wait for it, as GPUs' communication does."""
    while not any(process.poll() for process in team.others):
        if all(process.poll() == 0 for process in team.others):
            return
        time.sleep(0.5)
    time.sleep(_GRACE)
    if _team is team:
        print("machine error:\n  - a process that trains with this one died; its message stands above", file=sys.stderr)
        os._exit(1)


def _end_with_parent() -> None:
    """End this process when the first one has ended, or closes the pipe."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """What the first process starts: its configuration comes over standard input."""
    from torch.distributed import TCPStore

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process answers it
    config = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    serve(config, TCPStore(_HERE, int(os.environ["MASTER_PORT"]), size(config.trainer), is_master=False))


if __name__ == "__main__":
    from depo_lightning import team  # the module that stages know, not this copy of it

    team.main()
