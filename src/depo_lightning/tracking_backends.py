"""Where a tracker sends things: W&B, TensorBoard, CSV files. Their packages are imported when one is opened."""

from __future__ import annotations

import netrc
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from depo_lightning.files import write_atomic

WandbMode = Literal["online", "offline", "disabled"]
_INIT_TIMEOUT, _FINISH_TIMEOUT = 30.0, 120.0  # seconds that W&B may hold up a run


class Backend(Protocol):
    """What a place that curves and results go to must offer."""

    def link(self, root: Path) -> dict[str, Any]:
        """The content of `tracking.json` in `root`; empty where there is nothing to find."""
        ...

    def scalars(self, metrics: Mapping[str, float], step: int, prefix: str) -> None: ...
    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None: ...
    def image(self, name: str, path: Path) -> None: ...
    def plot(self, name: str, figure: Any) -> None: ...
    def finish(self, summary: Mapping[str, float], failed: bool) -> None: ...


class CsvBackend:
    """`curves/<prefix>/metrics.csv`, in Lightning's format, and `summary.csv`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._curves: dict[str, Any] = {}
        shutil.rmtree(root / "curves", ignore_errors=True)  # of an earlier call in the same directory

    def link(self, root: Path) -> dict[str, Any]:
        return {"kind": "csv", "directory": relative(self._root, root)}

    def scalars(self, metrics: Mapping[str, float], step: int, prefix: str) -> None:
        from lightning_fabric.loggers import CSVLogger

        if prefix not in self._curves:
            folder = self._root / "curves"
            self._curves[prefix] = CSVLogger(folder, name=prefix, version="", flush_logs_every_n_steps=20)
        self._curves[prefix].log_metrics(dict(metrics), step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """The run's own files hold it already."""

    def image(self, name: str, path: Path) -> None:
        """The run's own files hold it already."""

    def plot(self, name: str, figure: Any) -> None:
        """The run's own files hold it already."""

    def finish(self, summary: Mapping[str, float], failed: bool) -> None:
        for curves in self._curves.values():
            curves.save()
        lines = ["metric,value", *(f"{name},{value!r}" for name, value in summary.items())]
        write_atomic(self._root / "summary.csv", "\n".join(lines) + "\n")


class TensorBoardBackend:
    """Event files; results become scalars at step 0."""

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._root = root
        self._writer = SummaryWriter(str(root))
        self._writer.add_text("config", "\n".join(f"    {key}: {value}" for key, value in config.items()))

    def link(self, root: Path) -> dict[str, Any]:
        return {"kind": "tensorboard", "directory": relative(self._root, root)}

    def scalars(self, metrics: Mapping[str, float], step: int, prefix: str) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(f"{prefix}/{name}", value, step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        lines = [columns, ["---"] * len(columns), *rows]
        self._writer.add_text(name, "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))

    def image(self, name: str, path: Path) -> None:
        from matplotlib.image import imread

        self._writer.add_image(name, imread(path), dataformats="HWC")

    def plot(self, name: str, figure: Any) -> None:
        """TensorBoard shows no plotly figures; the image of the same plot stands for it."""

    def finish(self, summary: Mapping[str, float], failed: bool) -> None:
        for name, value in summary.items():
            self._writer.add_scalar(f"results/{name}", value, 0)
        self._writer.close()


class WandbBackend:
    """One W&B run."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._axes: set[str] = set()

    @classmethod
    def open(cls, root: Path, init: Mapping[str, Any], config: Mapping[str, Any], offline: bool) -> WandbBackend:
        """Start a run below `root`; offline if it cannot be had online.

        Under W&B's own agent (`wandb agent`) the run's id, name and project are the agent's: it has announced them.
        """
        import wandb

        if os.environ.get("WANDB_SWEEP_ID"):
            init = {name: value for name, value in init.items() if name not in ("project", "entity", "name")}

        def start(mode: WandbMode) -> Any:
            settings = wandb.Settings(
                silent=True,
                console="off",
                init_timeout=_INIT_TIMEOUT,
                login_timeout=1.0,  # should W&B come to ask after all, nobody is there to answer
                finish_timeout=_FINISH_TIMEOUT,
                disable_git=True,
                disable_code=True,
                x_save_requirements=False,
                x_disable_meta=True,  # the command line, which may hold a key, and the machine's paths
            )
            # create_new: a sweep's jobs may follow each other in one process.
            return wandb.init(
                **init, dir=str(root), config=dict(config), mode=mode, reinit="create_new", settings=settings
            )

        mode = wandb_mode(offline)
        try:
            return cls(start(mode))
        except Exception as error:
            if mode != "online":
                raise
            warnings.warn(f"W&B cannot be reached, the run is kept offline: {error}", stacklevel=2)
            return cls(start("offline"))

    def link(self, root: Path) -> dict[str, Any]:
        run = self._run
        if run.disabled:
            return {}
        found = {"kind": "wandb", "run_id": run.id, "name": run.name, "project": run.project}
        found |= {"entity": run.entity} if run.entity else {}
        found |= {"sweep": run.sweep_id} if run.sweep_id else {}
        # Asked for the address of an offline run, W&B warns on the terminal.
        return {**found, "url": None if run.offline else run.url, "directory": relative(run.sync_dir, root)}

    def scalars(self, metrics: Mapping[str, float], step: int, prefix: str) -> None:
        if prefix not in self._axes:
            self._run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/step")
            self._axes.add(prefix)
        self._run.log({**{f"{prefix}/{name}": value for name, value in metrics.items()}, f"{prefix}/step": step})

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        import wandb

        # A sweep may mix types in a column: model.name=tiny,null or rollout.split=test,1.
        content = wandb.Table(columns=list(columns), data=[list(row) for row in rows], allow_mixed_types=True)
        self._run.log({name: content})

    def image(self, name: str, path: Path) -> None:
        import wandb

        self._run.log({name: wandb.Image(str(path))})

    def plot(self, name: str, figure: Any) -> None:
        import wandb

        self._run.log({name: wandb.Plotly(figure)})

    def finish(self, summary: Mapping[str, float], failed: bool) -> None:
        self._run.summary.update(dict(summary))
        self._run.finish(exit_code=int(failed))


def relative(path: str | os.PathLike[str], root: Path) -> str:
    """The path as seen from `root`."""
    return Path(os.path.relpath(path, root)).as_posix()


def wandb_mode(offline: bool) -> WandbMode:
    """W&B's mode: offline or disabled if `WANDB_MODE` says so; offline if asked for or without a key; else online."""
    asked = os.environ.get("WANDB_MODE", "")
    if asked in ("disabled", "offline", "dryrun"):
        return "disabled" if asked == "disabled" else "offline"
    return "offline" if offline or not has_wandb_key() else "online"


def has_wandb_key() -> bool:
    """Whether W&B will find credentials by itself: in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    places = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    path = next((p for p in map(os.path.expanduser, places) if Path(p).is_file()), None)
    try:
        return path is not None and netrc.netrc(path).authenticators(host) is not None
    except (netrc.NetrcParseError, OSError):
        return False
