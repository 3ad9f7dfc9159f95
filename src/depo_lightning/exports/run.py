"""The output directory of a run, as exports read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from depo_lightning.errors import DataError
from depo_lightning.trajectory import Trajectory, read_jsonl

POLICIES, ADAPTER = "policies", "adapter_config.json"


@dataclass(frozen=True)
class Run:
    """A finished run: its directory, `results.json` and `config.yaml`."""

    directory: Path
    results: dict[str, Any]
    config: dict[str, Any]

    @classmethod
    def read(cls, directory: str | Path) -> Run:
        """Read a run's directory.

        Raises:
            DataError: it holds no finished run.
        """
        path = Path(directory).absolute()
        try:
            results = json.loads((path / "results.json").read_text(encoding="utf-8"))
            config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(
                f"{directory}: no finished run ({error.strerror}: {error.filename}); give the output directory of one"
            ) from error
        except (ValueError, yaml.YAMLError) as error:
            raise DataError(f"{directory}: results.json or config.yaml is damaged: {error}; run it again") from error
        return cls(path, results, config)

    @property
    def policies(self) -> dict[str, Path]:
        """The policies' directories by name, BC first."""
        found = {name: self.directory / POLICIES / name for name in self.results["policies"]}
        return {name: path for name, path in found.items() if path.is_dir()}

    def policy(self, name: str) -> Path:
        """The directory of one policy.

        Raises:
            DataError: the run has none of that name.
        """
        if name not in self.policies:
            raise DataError(f"{self.directory}: no policy {name!r}; there are: {', '.join(self.policies) or 'none'}")
        return self.policies[name]

    def base(self, adapter: Path) -> str:
        """What an adapter's base is: where its configuration says, or beside it, should the run have been moved."""
        name = str(json.loads((adapter / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"])
        beside = adapter.parent / Path(name).name
        return str(beside) if not Path(name).exists() and beside.is_dir() else name

    def labelled(self, store: Path | None = None) -> list[Trajectory]:
        """The labelled, rephrased episodes that the run's policies were trained on.

        Args:
            store: of the run, where it is not the one that the run's configuration names.

        Raises:
            DataError: they are not in the store.
        """
        key = self.results["keys"].get("rephrase")
        path = (store or Path(self.config["store"])) / "rephrase" / str(key) / "trajectories.jsonl"
        if not path.is_file():
            raise DataError(f"{path}: the run's labelled episodes are not there; name the run's store with --store")
        return read_jsonl(path)
