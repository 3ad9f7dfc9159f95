"""The artifact store: each stage's result once, under a key that says what it depends on.

<root>/<stage>/<key>/            published artifact: files + manifest.json
<root>/.partial/<stage>-<key>/   work in progress; wiped when the stage is started again, but for its .progress/
<root>/.locks/<stage>-<key>      held while a stage is computed; other jobs wait and then reuse
<root>/account.jsonl             one line per computed or reused stage: the store's own account
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from depo_lightning.errors import DataError
from depo_lightning.files import machine_faults

MANIFEST = "manifest.json"
PROGRESS = ".progress"  # folder in the directory to fill: what a stage wants to find again, should it be stopped


@dataclass(frozen=True, eq=False)
class Stage:
    """A pure function from a config and its inputs' artifacts to one artifact.

    Attributes:
        name: stage name, also the folder in the store.
        version: number of the stage's code; raise it when the same config must give another result.
        config: JSON-ready; exactly what matters to the result, seed included.
        inputs: the artifacts it reads, by role.
        compute: called with (directory to fill, {role: input directory}). What it puts into the former's folder
            `PROGRESS` is there again when a stopped stage is started anew, and is not published.
        title: what progress lines call it.
        needs: what this machine lacks to compute it, such as a key; one fault each.
    """

    name: str
    version: int
    config: Mapping[str, Any]
    compute: Callable[[Path, dict[str, Path]], None]
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    title: str = ""
    needs: Callable[[], Iterable[str]] = tuple

    @property
    def identity(self) -> dict[str, Any]:
        """Everything the key is a hash of."""
        inputs = {role: stage.key for role, stage in sorted(self.inputs.items())}
        return {"stage": self.name, "version": self.version, "config": dict(self.config), "inputs": inputs}

    @cached_property
    def key(self) -> str:
        """First 16 hex digits of the SHA-256 of the identity's canonical JSON."""
        text = json.dumps(self.identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Artifact:
    """A published result."""

    path: Path
    reused: bool
    seconds: float
    reason: str


class Store:
    """Artifacts on a local or shared disk. Safe for several processes on one root."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()
        with machine_faults("the store cannot be opened", self.root):
            for folder in (self.root, self.root / ".partial", self.root / ".locks"):
                folder.mkdir(parents=True, exist_ok=True)

    def path(self, stage: Stage) -> Path:
        """Where the stage's artifact is, or would be."""
        return self.root / stage.name / stage.key

    def partial(self, stage: Stage) -> Path:
        """Where the stage is computed."""
        return self.root / ".partial" / f"{stage.name}-{stage.key}"

    def inputs(self, stage: Stage) -> dict[str, Path]:
        """Where its inputs' artifacts are, by role."""
        return {role: self.path(source) for role, source in stage.inputs.items()}

    def has(self, stage: Stage) -> bool:
        """Whether the artifact is published."""
        return (self.path(stage) / MANIFEST).is_file()

    def get(self, stage: Stage) -> Artifact:
        """Return the stage's artifact; compute and publish it if it is not there.

        A second process that asks for the same key waits for the first and then reuses its result.

        Raises:
            MachineError: the artifact could not be written; the store is as it was before.
        """
        with machine_faults(f"stage {stage.name!r} could not be stored", self.root):
            if not self.has(stage):
                with FileLock(self.root / ".locks" / f"{stage.name}-{stage.key}"):
                    if not self.has(stage):
                        return self._compute(stage)
            manifest = self._manifest(stage)
            self._note(stage, "reused", 0.0)
            return Artifact(self.path(stage), True, manifest["seconds"], f"stored on {manifest['created']}")

    def _manifest(self, stage: Stage) -> dict[str, Any]:
        path = self.path(stage) / MANIFEST
        manifest = _read_json(path.read_text())
        if manifest is None:
            raise DataError(f"{path}: is damaged; delete the folder {path.parent}, and the stage is computed again")
        return manifest

    def _compute(self, stage: Stage) -> Artifact:
        partial = self.partial(stage)
        _wipe(partial)
        partial.mkdir(exist_ok=True)
        started = time.perf_counter()
        try:
            stage.compute(partial, self.inputs(stage))
            seconds = time.perf_counter() - started
            created = datetime.now(UTC).isoformat(timespec="seconds")
            manifest = {**stage.identity, "key": stage.key, "created": created, "seconds": round(seconds, 3)}
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
            shutil.rmtree(partial / PROGRESS, ignore_errors=True)
            self._publish(partial, self.path(stage))
        except BaseException:
            _wipe(partial)
            raise
        self._note(stage, "computed", seconds)
        return Artifact(self.path(stage), False, seconds, "computed now")

    @staticmethod
    def _publish(partial: Path, target: Path) -> None:
        for path in sorted(partial.rglob("*")):
            if path.is_file():
                _fsync(path)
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)  # a folder without a manifest was never published
        partial.rename(target)
        _fsync(target.parent)

    def explain(self, stage: Stage) -> str:
        """Why the stage's artifact can or cannot be reused, against the nearest one in the store."""
        if self.has(stage):
            return f"stored under {stage.key}"
        wanted = _flat_identity(stage.identity)
        nearest: tuple[str, dict[str, Any], set[str]] | None = None
        for path, manifest in manifests(self.root / stage.name):
            there = _flat_identity(manifest)
            changed = {k for k in {*there, *wanted} if there.get(k) != wanted.get(k)}
            if nearest is None or len(changed) < len(nearest[2]):
                nearest = (path.name, there, changed)
        if nearest is None:
            return f"no {stage.name} artifact is stored yet"
        key, there, changed = nearest
        changes = [f"{k}: {there.get(k)} → {wanted.get(k)}" for k in sorted(changed)[:4]]
        return f"differs from {key} in {'; '.join(changes)}"

    def account(self) -> list[dict[str, Any]]:
        """All entries of the account, oldest first; a line that a killed process left unfinished is no entry."""
        path = self.root / "account.jsonl"
        entries = map(_read_json, path.read_text().splitlines()) if path.exists() else ()
        return [entry for entry in entries if entry is not None]

    def _note(self, stage: Stage, event: str, seconds: float) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"time": now, "stage": stage.name, "key": stage.key, "event": event, "seconds": round(seconds, 3)}
        with (self.root / "account.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def manifests(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The artifacts published in a stage's folder, in order of their keys; one with a damaged manifest is left out."""
    for path in sorted(folder.glob(f"*/{MANIFEST}")):
        with suppress(OSError, UnicodeDecodeError):
            manifest = _read_json(path.read_text(encoding="utf-8"))
            if manifest is not None:
                yield path.parent, manifest


def _wipe(partial: Path) -> None:
    """Remove what a stopped stage left, but for what it wants to find again."""
    if not (partial / PROGRESS).is_dir():
        shutil.rmtree(partial, ignore_errors=True)
        return
    for path in partial.iterdir():
        if path.name != PROGRESS:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _read_json(text: str) -> dict[str, Any] | None:
    """A JSON object, or None where the text is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flat_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a key is a hash of, field by field: `config.depo.lr` → 0.001."""
    return {k: v for name in ("version", "config", "inputs") for k, v in _flatten(identity[name], name)}


def _flatten(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for inner, content in value.items():
        yield from _flatten(content, f"{name}.{inner}")


def main() -> None:
    """`python -m depo_lightning.store [ROOT]`: how often each stage was computed and reused."""
    import sys
    from collections import Counter

    entries = Store(sys.argv[1] if len(sys.argv) > 1 else "store").account()
    counts = Counter((entry["stage"], entry["event"]) for entry in entries)
    seconds: Counter[str] = Counter()
    for entry in entries:
        seconds[entry["stage"]] += entry["seconds"]
    print(f"{'stage':<14}{'computed':>9}{'reused':>8}{'seconds':>10}")
    for stage in dict.fromkeys(entry["stage"] for entry in entries):
        print(f"{stage:<14}{counts[stage, 'computed']:>9}{counts[stage, 'reused']:>8}{seconds[stage]:>10.1f}")


if __name__ == "__main__":
    main()
