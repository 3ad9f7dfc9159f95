"""What tells one language model's answers from another's, in the stages' keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from depo_lightning import model_source
from depo_lightning.config.llm import LocalRephraserConfig, LocalTeacherConfig
from depo_lightning.errors import ConfigError
from depo_lightning.stages.llm import llm_identity

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Sources are found once per process."""
    model_source._find.cache_clear()
    yield
    model_source._find.cache_clear()


@pytest.mark.parametrize(("section", "kind"), [("teacher", LocalTeacherConfig), ("rephraser", LocalRephraserConfig)])
def test_other_weights_at_the_same_path_are_another_model(section: str, kind: type, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    save_file({"weight": torch.zeros(4)}, tmp_path / "model.safetensors")
    (tmp_path / "tiny.gguf").write_bytes(b"0" * 64)
    plain = kind(model=str(tmp_path))
    packed = kind(model=str(tmp_path), gguf_file="tiny.gguf")

    def identities() -> list[object]:
        model_source._find.cache_clear()
        return [llm_identity(section, node) for node in (plain, packed)]

    first = identities()
    assert identities() == first
    assert first[0] != first[1]
    save_file({"weight": torch.ones(4)}, tmp_path / "model.safetensors")
    second = identities()
    assert second[0] != first[0]
    assert second[1] == first[1]  # its weights are in the other file
    (tmp_path / "tiny.gguf").write_bytes(b"1" * 64)
    assert identities()[1] != second[1]


def test_a_local_model_that_is_not_there_is_told_by_its_own_field(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.model='.*nowhere': no such directory"):
        llm_identity("teacher", LocalTeacherConfig(model=str(tmp_path / "nowhere")))


def test_a_key_goes_to_the_server_that_gave_it() -> None:
    for path in (ROOT / "conf" / "teacher").glob("*.yaml"):
        node = yaml.safe_load(path.read_text())
        if "api_key_env" in node:
            service = node["api_key_env"].removesuffix("_API_KEY").lower()
            assert service in node["base_url"], path
