"""Run a command and write what it used, with all processes that it started: `python -m bench.usage FILE COMMAND …`."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PATIENCE = 10.0  # seconds that processes may outlive the command; what still runs then is not counted


def main() -> int:
    """Returns the command's exit code."""
    file, *command = sys.argv[1:]
    if sys.platform == "linux":  # become the parent of processes whose own has ended, as the server of a grid's jobs
        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)
    began = time.perf_counter()
    code = subprocess.run(command, check=False).returncode
    seconds = time.perf_counter() - began
    whole = _reaped()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = used.ru_utime + used.ru_stime
    found = {"seconds": seconds, "cpu_seconds": cpu_seconds, "mib": used.ru_maxrss / 1024, "whole": whole}
    Path(file).write_text(json.dumps(found))
    return code


def _reaped() -> bool:
    """Wait for what the command has left; False where some of it goes on."""
    deadline = time.monotonic() + _PATIENCE
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
