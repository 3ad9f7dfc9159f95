"""Which stored episodes a policy's own are guessed from: they save time, and touch logits by rounding only.

Policies that come from the same behaviour cloning say much the same under the same noise. What cannot be read is passed
over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from depo_lightning.errors import DataError
from depo_lightning.stages.context import EPISODES, VALIDATION
from depo_lightning.store import manifests
from depo_lightning.trajectory import Trajectory, read_jsonl


def of_evaluations(stored: Path, rollout: Mapping[str, Any], inputs: Mapping[str, Path]) -> list[Trajectory]:
    """Episodes of the same evaluation by kindred policies, likeliest drafts first.

    Preference training moves policies alike, so others of its kind come before π_BC, the newest first.

    Args:
        stored: where the store keeps evaluations.
        rollout: what the episodes depend on besides the policy.
        inputs: of the evaluation to come.
    """
    origin = inputs.get("bc", inputs["policy"]).name
    found: list[tuple[bool, str, Path]] = []
    for path, manifest in manifests(stored):
        with suppress(KeyError, TypeError):
            policy, bc = manifest["inputs"]["policy"], manifest["inputs"].get("bc")
            if manifest["config"]["rollout"] == rollout and origin in (policy, bc):
                found.append((bc is not None, str(manifest["created"]), path / EPISODES))
    return _read(path for _, _, path in sorted(found, reverse=True))


def of_validations(stored: Path, rollout: Mapping[str, Any], bc: Path) -> list[Trajectory]:
    """Episodes of the same validation in other preference trainings from π_BC, the newest first.

    Args:
        stored: where the store keeps preference trainings.
        rollout: what the episodes depend on besides the policy.
        bc: π_BC.
    """
    found: list[tuple[str, Path]] = []
    for path, manifest in manifests(stored):
        with suppress(KeyError, TypeError):
            if manifest["config"]["validation"] == rollout and manifest["inputs"]["bc"] == bc.name:
                found.append((str(manifest["created"]), path / VALIDATION))
    return _read(path for _, path in sorted(found, reverse=True))


def _read(paths: Iterable[Path]) -> list[Trajectory]:
    """The episodes of the first files that can be read, as many as rollouts use."""
    from depo_lightning.rollouts.drafts import DRAFTS

    episodes: list[Trajectory] = []
    read = 0
    for path in paths:
        if read == DRAFTS:
            break
        with suppress(DataError):
            episodes += read_jsonl(path)
            read += 1
    return episodes
