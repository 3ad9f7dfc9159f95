"""A training that is stopped at any batch and started again ends as an undisturbed one, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from tests.modules.miniature import KINDS, train
from transformers import LlamaForCausalLM

from depo_lightning.data import Packing, PreferenceSample
from depo_lightning.modules import ValidationRollouts
from depo_lightning.store import PROGRESS


class Killed(Exception):
    pass


class Killer(pl.Callback):
    """Stops the training in the middle of a batch, once it has seen so many."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_after_backward(self, *args: object) -> None:
        """Before the optimizer's step."""
        self.left -= 1
        if self.left < 0:
            raise Killed


class Player:
    """Answers with how often it was asked, which it remembers."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, model: torch.nn.Module) -> dict[str, float]:
        self.asked += 1
        return {"asked": float(self.asked), "chance": torch.rand(1).item()}

    def state_dict(self) -> dict[str, Any]:
        return {"asked": self.asked}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.asked = state_dict["asked"]


@pytest.mark.parametrize(
    ("kind", "every", "accumulate", "stops"),
    [("bc", None, 1, (1, 2, 3)), ("depo", None, 1, (1, 1, 2, 1)), ("depo", 2, 1, (3, 3)), ("depo", 2, 2, (1, 4, 3, 6))],
)
def test_stopped_anywhere_and_started_again(
    kind: str,
    every: int | None,
    accumulate: int,
    stops: tuple[int, ...],
    model: LlamaForCausalLM,
    samples: list[PreferenceSample],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(target: Path, *callbacks: pl.Callback, minutes: float | None = 0.0) -> torch.Tensor:
        playing = ValidationRollouts(Player(), every)
        settings = {"accumulate": accumulate, "checkpoint_every": minutes}
        return train(kind, model, samples, target, Packing(60), [playing, *callbacks], dropout=0.3, **settings)[1]

    undisturbed = run(tmp_path / "undisturbed", minutes=None)
    curves = (tmp_path / "undisturbed" / "metrics.csv").read_bytes()
    assert b"val/chance" in curves
    assert not (tmp_path / "undisturbed" / PROGRESS).exists()
    target = tmp_path / "stopped"
    for batches in stops:  # each run computes so many before it is stopped; the next goes on
        with pytest.raises(Killed):
            run(target, Killer(batches))
        (target / "metrics.csv").unlink(missing_ok=True)  # the store keeps the progress only
    assert "goes on after step" in capsys.readouterr().out
    assert torch.equal(run(target), undisturbed)
    assert (target / "metrics.csv").read_bytes() == curves


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_holds_what_is_trained(
    kind: str, model: LlamaForCausalLM, samples: list[PreferenceSample], tmp_path: Path
) -> None:
    train(kind, model, samples, tmp_path, dropout=0.1, checkpoint_every=0.0)
    (path,) = (tmp_path / PROGRESS).rglob("*.ckpt")
    names = torch.load(path, weights_only=False)["state_dict"]
    assert names
    assert all("lora_" in name for name in names)


def test_a_checkpoint_of_another_layout_is_left_alone(
    model: LlamaForCausalLM, samples: list[PreferenceSample], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train("bc", model, samples, tmp_path / "stopped", callbacks=[Killer(3)], checkpoint_every=0.0)
    whole = train("bc", model, samples, tmp_path / "whole", accumulate=2)
    again = train("bc", model, samples, tmp_path / "stopped", accumulate=2)
    assert torch.equal(whole[1], again[1])
