"""Groups `teacher`, `search` and `rephraser`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from depo_lightning.agents.scripted import SCRIPTS
from depo_lightning.config import Config, EnvConfig, MixtureConfig, ScriptedTeacherConfig, SearchConfig
from depo_lightning.validation.rules import COUNT, PROBABILITY, Rule, at_least, probability, rule_faults

RULES: tuple[Rule, ...] = (
    *((f"search.{name}", at_least(1), COUNT) for name in ("tasks", "simulations", "proposals", "max_depth")),
    *((f"search.{name}", at_least(1), COUNT) for name in ("workers", "concurrency")),
    ("search.exploration", at_least(0), "must be 0 or more"),
)
SCRIPTED = ("noise", "detour", "verbosity", "style_persistence")
SCRIPTED_RULES: tuple[Rule, ...] = tuple((f"teacher.{name}", probability, PROBABILITY) for name in SCRIPTED)
TEACHERS = ("scripted", "endpoint", "local")
REPHRASERS = ("rules", "none", "endpoint", "local")


def faults(config: Config) -> Iterator[str]:
    """What is wrong with where the trajectories come from."""
    yield from rule_faults(config, RULES)
    if isinstance(config.teacher, ScriptedTeacherConfig):
        yield from rule_faults(config, SCRIPTED_RULES)
        yield from _script_faults(config.env, config.teacher)
    for field, value, names in (
        ("teacher.name", config.teacher.name, TEACHERS),
        ("rephraser.name", config.rephraser.name, REPHRASERS),
    ):
        if value not in names:
            yield f"{field}={value!r}: choose from {list(names)}"
    yield from _file_faults(config.search)


def _script_faults(env: EnvConfig, teacher: ScriptedTeacherConfig) -> Iterator[str]:
    played = list(env.parts) if isinstance(env, MixtureConfig) else [env.name]
    for name in played:
        if name not in SCRIPTS:
            yield f"teacher=scripted: plays {sorted(SCRIPTS)}, not env={name}; choose another teacher"
    fields = {field: getattr(teacher, field) for field in SCRIPTED}
    yield from _sum_faults("teacher", fields)
    for name, values in teacher.parts.items():
        place = f"teacher.parts.{name}"
        if not isinstance(env, MixtureConfig) or name not in played:
            yield f"{place}: env is no mixture with such a part; remove it"
        if unknown := [field for field in values if field not in SCRIPTED]:
            yield f"{place}.{unknown[0]}: no such field; choose from {list(SCRIPTED)}"
        numbers = {field for field, value in values.items() if isinstance(value, int | float)}
        wrong = [field for field, value in values.items() if field not in numbers or not probability(value)]
        yield from (f"{place}.{field}={values[field]}: {PROBABILITY}" for field in wrong)
        if not wrong:
            yield from _sum_faults(place, {**fields, **values})


def _sum_faults(place: str, values: Mapping[str, float]) -> Iterator[str]:
    if probability(values["noise"]) and probability(values["detour"]) and values["noise"] + values["detour"] > 1:
        yield f"{place}: noise={values['noise']} and detour={values['detour']} sum to more than 1; lower one of them"


def _file_faults(search: SearchConfig) -> Iterator[str]:
    given = search.trajectories
    names = given if isinstance(given, list) else [given] if given is not None else []
    if given == []:
        yield "search.trajectories=[]: names no file; give a trajectories JSONL or several, or null to search"
    for name in names:
        if not isinstance(name, str):
            yield f"search.trajectories={given!r}: must be a path, or a list of paths"
        elif not Path(name).is_file():
            yield f"search.trajectories={name!r}: no such file; give a trajectories JSONL, or null to search"
    if twice := [name for name in dict.fromkeys(map(str, names)) if names.count(name) > 1]:
        yield f"search.trajectories: names {twice[0]!r} more than once; leave one out"
