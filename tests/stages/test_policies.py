"""Where the stages put models."""

from __future__ import annotations

import pytest

from depo_lightning.config import TrainerConfig
from depo_lightning.stages.policies import on_device


class Model:
    """Notes where it is sent."""

    place = "cpu"
    is_quantized = False

    def to(self, device: str) -> Model:
        self.place = device
        return self


@pytest.mark.parametrize(("accelerator", "place"), [("cpu", "cpu"), ("gpu", "cuda"), ("cuda", "cuda"), ("mps", "mps")])
def test_policies_are_played_and_scored_where_they_are_trained(accelerator: str, place: str) -> None:
    model: Model = on_device(Model(), TrainerConfig(accelerator))  # type: ignore[arg-type,assignment]
    assert model.place == place


def test_a_quantised_model_stays_where_it_was_loaded() -> None:
    model = Model()
    model.is_quantized = True
    assert on_device(model, TrainerConfig("gpu")).place == "cpu"  # type: ignore[arg-type,attr-defined]
