"""Which script plays which environment. To add one: write its class and name it here."""

from __future__ import annotations

from importlib import import_module

from depo_lightning.agents.teacher import Teacher
from depo_lightning.errors import ConfigError

SCRIPTS = {
    "babyai": "depo_lightning.agents.teacher:ScriptedTeacher",
    "webshop": "depo_lightning.agents.webshop_teacher:WebShopTeacher",
}


def scripted_teacher(env: str, **fields: float) -> Teacher:
    """The scripted teacher of environment `env`; fields are those of its configuration group.

    Raises:
        ConfigError: no script plays it, or a field is out of range.
    """
    if env not in SCRIPTS:
        raise ConfigError(f"teacher=scripted: plays {sorted(SCRIPTS)} only, not env={env}; choose another teacher")
    module, _, name = SCRIPTS[env].partition(":")
    teacher: Teacher = getattr(import_module(module), name)(**fields)
    return teacher
