"""The errors a user can cause or meet. `run.py` prints them without a traceback."""

from __future__ import annotations

from collections.abc import Iterable


class DepoError(Exception):
    """Base of the errors that are reported as messages; `faults` holds one line per fault found."""

    exit_code = 2
    title = "error"

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))

    def __str__(self) -> str:
        return "\n".join([f"{self.title}:", *(f"  - {fault}" for fault in self.faults)])

    def __reduce__(self) -> tuple[type[DepoError], tuple[list[str]]]:
        return type(self), (self.faults,)


class ConfigError(DepoError):
    """A configuration that cannot run. Each fault names field, value, rule and remedy."""

    title = "configuration error"


class DataError(DepoError):
    """Input data that cannot be used. Each fault names file:line, what was found and what was expected."""

    title = "data error"


class MachineError(DepoError):
    """The machine's fault, not the input's: disk full, read-only directory, lost process."""

    exit_code = 1
    title = "machine error"
