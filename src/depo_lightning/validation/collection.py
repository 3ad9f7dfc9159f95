"""Groups `teacher`, `search` and `rephraser`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from depo_lightning.agents.scripted import SCRIPTS
from depo_lightning.config import Config, ScriptedTeacherConfig
from depo_lightning.validation.rules import COUNT, PROBABILITY, Rule, at_least, probability, rule_faults

RULES: tuple[Rule, ...] = (
    *((f"search.{name}", at_least(1), COUNT) for name in ("tasks", "simulations", "proposals", "max_depth")),
    *((f"search.{name}", at_least(1), COUNT) for name in ("workers", "concurrency")),
    ("search.exploration", at_least(0), "must be 0 or more"),
)
SCRIPTED_RULES: tuple[Rule, ...] = tuple(
    (f"teacher.{name}", probability, PROBABILITY) for name in ("noise", "detour", "verbosity", "style_persistence")
)
TEACHERS = ("scripted", "endpoint", "local")
REPHRASERS = ("rules", "none", "endpoint", "local")


def faults(config: Config) -> Iterator[str]:
    """What is wrong with where the trajectories come from."""
    yield from rule_faults(config, RULES)
    if isinstance(config.teacher, ScriptedTeacherConfig):
        yield from rule_faults(config, SCRIPTED_RULES)
        if config.env.name not in SCRIPTS:
            yield f"teacher=scripted: plays {sorted(SCRIPTS)}, not env={config.env.name}; choose another teacher"
    for field, value, names in (
        ("teacher.name", config.teacher.name, TEACHERS),
        ("rephraser.name", config.rephraser.name, REPHRASERS),
    ):
        if value not in names:
            yield f"{field}={value!r}: choose from {list(names)}"
    source = config.search.trajectories
    if source is not None and not Path(source).is_file():
        yield f"search.trajectories={source!r}: no such file; give a trajectories JSONL, or null to search"
