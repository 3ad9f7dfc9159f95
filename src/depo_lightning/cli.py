"""Exit codes and messages: 0 done, 2 the input's fault, 1 the machine's or ours. No traceback for the first two."""

from __future__ import annotations

import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from depo_lightning.errors import ConfigError, DepoError
from depo_lightning.files import machine_faults

T = TypeVar("T")
_failed_jobs: list[int] = []
_LAUNCHERS = {"joblib": "joblib", "submitit_slurm": "slurm", "submitit_local": "slurm", "ray": "ray"}  # name → extra


def guarded(main: Callable[[], object]) -> int:
    """Call `main`; print what a user can act on, and return the exit code."""
    try:
        with machine_faults("the run could not write", Path.cwd()):
            main()
    except (HydraException, OmegaConfBaseException) as error:
        print(ConfigError(_one_message(error)), file=sys.stderr)
        return ConfigError.exit_code
    except DepoError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except ValueError as error:
        if "can be specified" not in str(error):  # Hydra's word on flags that exclude each other
            raise
        print(ConfigError(str(error)), file=sys.stderr)
        return ConfigError.exit_code
    except KeyboardInterrupt:
        print("interrupted; finished stages are stored, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has read enough; Python would complain once more as it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return failed_code()


def guarded_job(job: Callable[[], T], output: str) -> T | None:
    """Run one job; its failure is told, written to `error.txt`, and does not stop a sweep's other jobs."""
    marker = Path(output) / "error.txt"
    try:
        result = job()
    except DepoError as error:
        from depo_lightning.validation.rules import SECRETS

        if any(mark in str(error) for mark in SECRETS):  # Hydra has written the key there already
            shutil.rmtree(Path(output) / ".hydra", ignore_errors=True)
        _fail(marker, str(error), error.exit_code)
        return None
    except Exception:
        _fail(marker, traceback.format_exc(), 1)
        return None
    marker.unlink(missing_ok=True)
    return result


def fail_later(code: int) -> None:
    """Let the process end with this exit code, although it goes on."""
    _failed_jobs.append(code)


def failed_code() -> int:
    """The exit code that the failures so far ask for; 0 if there were none."""
    return max(_failed_jobs, default=0)


def _fail(marker: Path, text: str, code: int) -> None:
    print(text, file=sys.stderr)
    fail_later(code)
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(text)
    except OSError as error:
        print(f"{marker} could not be written: {error.strerror}", file=sys.stderr)


def _one_message(error: BaseException) -> str:
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    lines = dict.fromkeys(line.strip() for item in causes for line in str(item).splitlines())
    missing = re.search(r"Could not (?:find|load) 'hydra/launcher/(\w+)'", "\n".join(lines))
    if any("resolving interpolation '${env}" in line for line in lines):  # ${env} stands for one file's name
        return (
            "env: takes one name, and no list; a mixture is a file of its own. Write env=babyai_webshop, or add "
            "conf/env/<name>.yaml like it (docs/mixtures.md)"
        )
    if missing and missing[1] in _LAUNCHERS:
        return f'hydra/launcher: {missing[1]} is not installed; run pip install -e ".[{_LAUNCHERS[missing[1]]}]"'
    return "\n    ".join(line for line in lines if line and not line.startswith(("object_type", "reference_type")))
