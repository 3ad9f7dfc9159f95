"""Measured runs in processes of their own, so that one run's memory and caches do not reach the next."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from depo_lightning.processes import LARGE_BLOCK

ROOT = Path(__file__).parents[1]
_MARK = "BENCH-RESULT "
_STATUS = Path("/proc/self/status")


class WorkerError(RuntimeError):
    """A measured process ended without a result."""


class OutOfMemory(WorkerError):
    """It asked for more memory than a GPU has."""


def call(module: str, spec: dict[str, Any], threads: int = 1) -> dict[str, Any]:
    """Run `python -m bench.<module>` on `spec` and return what it hands to `answer`.

    Raises:
        WorkerError: it failed; its last lines are in the message.
        OutOfMemory: so it did, of that.
    """
    variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    # what `give_back_large_blocks` and run.py see to in a run; the peer gets it, too
    allocator = {"MALLOC_MMAP_THRESHOLD_": str(LARGE_BLOCK), "THP_MEM_ALLOC_ENABLE": "1"}
    environment = {**os.environ, **variables, **offline, **allocator, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": path}
    line = [sys.executable, "-m", f"bench.{module}", json.dumps(spec)]
    done = subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    answers = [row[len(_MARK) :] for row in done.stdout.splitlines() if row.startswith(_MARK)]
    if done.returncode or not answers:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-12:])
        kind = OutOfMemory if "OutOfMemoryError" in done.stderr else WorkerError
        raise kind(f"{module} ended with code {done.returncode}:\n{said}")
    result: dict[str, Any] = json.loads(answers[-1])
    print(f"  {module}: {json.dumps(result)}", file=sys.stderr, flush=True)
    return result


def spec() -> dict[str, Any]:
    """In the measured process: what it was given."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given


def answer(**values: Any) -> None:
    """In the measured process: hand a JSON-ready result back."""
    print(f"\n{_MARK}{json.dumps(values)}", flush=True)


class Clock:
    """Seconds since construction: of the wall, and of this process's CPU, which other processes disturb less."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def seconds(self) -> dict[str, float]:
        """{"seconds", "cpu_seconds"} so far."""
        return {"seconds": time.perf_counter() - self._wall, "cpu_seconds": time.process_time() - self._cpu}


class PeakMemory:
    """Peak memory above the state at construction, in MiB: of the process (Linux), or on the GPU that torch's own.

    Pages that loading has freed are given back first, else they would serve the measured part for nothing.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        gc.collect()
        if device == "cuda":
            import torch

            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated() / 2**20
            return
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to the present size
        self._before = _status_mib("VmRSS")

    def mib(self) -> float:
        """Peak so far."""
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated() / 2**20 - self._before
        return _status_mib("VmHWM") - self._before


def _status_mib(field: str) -> float:
    lines = _STATUS.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) / 1024
