"""However a batch is shared out over processes and accumulated parts, the training is the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.modules.miniature import KINDS, train
from torch.distributed import FileStore
from transformers import LlamaForCausalLM

from depo_lightning import team
from depo_lightning.config import Strategy
from depo_lightning.data import Packing, PreferenceSample

CASES = [(kind, packing, accumulate) for kind in KINDS for packing in (None, Packing(60)) for accumulate in (1, 2)]


def name_of(case: tuple[Any, ...]) -> str:
    kind, packing, accumulate = case
    return f"{kind}-{'padded' if packing is None else 'packed'}-{accumulate}"


def alike(
    ours: tuple[list[dict[str, float]], torch.Tensor], alone: tuple[list[dict[str, float]], torch.Tensor]
) -> None:
    """Every curve at every step, and the weights at the end."""
    assert len(ours[0]) == len(alone[0]) > 6
    for step, expected in zip(ours[0], alone[0], strict=True):
        assert step == pytest.approx(expected, rel=2e-4, abs=2e-5)
    assert (ours[1] - alone[1]).norm() < 1e-4 * alone[1].norm()


@pytest.mark.parametrize("packing", [None, Packing(60)])
@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_parts_train_as_the_whole_batch(
    kind: str, packing: Packing | None, model: LlamaForCausalLM, samples: list[PreferenceSample], tmp_path: Path
) -> None:
    """Batches of four or five: seven parts leave some without a row."""
    alone = train(kind, model, samples, tmp_path / "1", packing)
    for accumulate in (3, 7):
        alike(train(kind, model, samples, tmp_path / str(accumulate), packing, accumulate=accumulate), alone)


def one_of_two(rank: int, model: Any, samples: Sequence[PreferenceSample], folder: Path) -> None:
    """A process of two: all cases, one after another; the first one keeps what they give."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2, store=FileStore(str(folder / "store"), 2))
    there = team.Team(rank, 2, rank)
    team.meet, team.rank = lambda stage: there, lambda: rank
    for case in CASES:
        kind, packing, accumulate = case
        shared = {"accumulate": accumulate, "devices": 2, "strategy": Strategy.ddp}
        try:
            result = train(kind, model, samples, folder / f"{name_of(case)}-{rank}", packing, **shared)
        except team.Trained:
            assert rank == 1
        else:
            torch.save(result, folder / name_of(case))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {"folder": tmp_path_factory.mktemp("two")}


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_two_processes_train_as_one(
    case: tuple[Any, ...],
    results: dict[str, Any],
    model: LlamaForCausalLM,
    samples: list[PreferenceSample],
    tmp_path: Path,
) -> None:
    folder = results["folder"]
    if "done" not in results:
        results["done"] = True
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=one_of_two, args=(rank, model, samples, folder)) for rank in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
            process.kill()
    kind, packing, _ = case
    ours = torch.load(folder / name_of(case))
    alike(ours, train(kind, model, samples, tmp_path, packing))
