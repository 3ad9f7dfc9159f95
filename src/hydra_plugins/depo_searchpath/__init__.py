"""Lets Hydra find the group `sweeps`, which lies beside `conf/` and not in it."""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class DepoSearchPath(SearchPathPlugin):
    """Adds the parent of `conf/` to Hydra's search path, for `+sweeps=NAME`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        main = next((item for item in search_path.get_path() if item.provider == "main"), None)
        if main is None or main.path is None or "://" in main.path.removeprefix("file://"):
            return
        root = Path(main.path.removeprefix("file://")).parent
        if (root / "sweeps").is_dir():
            search_path.append("depo_lightning", f"file://{root}")
