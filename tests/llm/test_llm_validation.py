"""What can be seen of a language model's configuration before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from depo_lightning import model_source
from depo_lightning.cli import guarded_job
from depo_lightning.config import Config
from depo_lightning.config.llm import LocalTeacherConfig
from depo_lightning.errors import ConfigError
from depo_lightning.validation import validate
from depo_lightning.validation.llm import needs
from depo_lightning.validation.servers import _is_address

Compose = Callable[..., Config]
CANARY = "gsk_CanaryCanary0123456789"


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("https://[::1]:8000/v1", True),
        ("http://127.0.0.1:99999/v1", False),
        ("http://127.0.0.1:0/v1", False),
        ("http://[::1/v1", False),
        ("http://:8000/v1", False),
        ("http://a host/v1", False),
        ("ftp://host/v1", False),
    ],
)
def test_addresses(url: str, good: bool) -> None:
    assert _is_address(url) is good


def test_all_faults_of_an_endpoint_at_once(compose_config: Compose) -> None:
    config = compose_config("teacher=vllm", "teacher.model=m")
    config.teacher.base_url = "http://[::1/v1"
    config.teacher.api_key_env = CANARY
    with pytest.raises(ConfigError) as caught:
        validate(config)
    told = str(caught.value)
    assert "teacher.base_url='http://[::1/v1': must be an http or https URL" in told
    assert "teacher.api_key_env: must be the name of an environment variable" in told
    assert "anary" not in told


@pytest.mark.parametrize("name", ["_MINE", "Key", "MY-KEY", "1KEY", CANARY])
def test_a_refused_name_of_a_key_is_kept_nowhere(
    name: str, compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("depo_lightning.cli._failed_jobs", [])
    kept_nowhere(compose_config("teacher=vllm", "teacher.model=m"), "api_key_env", name, name, tmp_path)


@pytest.mark.parametrize(
    "url", ["https://me:{}@host/v1", "https://host/v1?key={}", "http://[::1/v1?key={}", "https://host/v1#{}"]
)
def test_a_key_in_an_address_is_kept_nowhere(
    url: str, compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("depo_lightning.cli._failed_jobs", [])
    config = compose_config("teacher=vllm", "teacher.model=m")
    kept_nowhere(config, "base_url", url.format(CANARY), CANARY, tmp_path)


def kept_nowhere(config: Config, field: str, value: str, secret: str, folder: Path) -> None:
    """The value is refused by a message without the secret, and what Hydra wrote of it is removed."""
    setattr(config.teacher, field, value)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(f"- teacher.{field}={value}\n")
    guarded_job(lambda: validate(config), str(folder))
    assert f"teacher.{field}" in (folder / "error.txt").read_text()
    assert not [path for path in folder.rglob("*") if path.is_file() and secret in path.read_text()]


def test_a_local_model_is_checked_before_work(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose_config("teacher=local", "teacher.model=m", "teacher.dtype=float99", "teacher.device=gpu0")
    with pytest.raises(ConfigError) as caught:
        validate(config)
    assert "teacher.dtype=float99: choose from ['auto', 'bfloat16'" in str(caught.value)
    assert "teacher.device=gpu0: must be cpu, cuda" in str(caught.value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for device, there in (("cuda", True), ("cuda:0", True), ("cuda:1", False), ("cpu", True), (None, True)):
        assert bool(list(needs("teacher", LocalTeacherConfig(device=device, prompts={})))) is not there
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "device=cuda: this machine has no such device" in next(needs("teacher", LocalTeacherConfig(device="cuda")))


def test_gguf_files_need_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"0")
    monkeypatch.setattr(model_source, "find_spec", lambda name: None)
    for place in (str(tmp_path), "some/model"):
        model_source._find.cache_clear()
        with pytest.raises(ConfigError, match=r"teacher\.gguf_file=.*need the package gguf"):
            model_source.find_local("teacher", LocalTeacherConfig(model=place, gguf_file="tiny.gguf"))
