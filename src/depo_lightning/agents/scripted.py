"""Which script plays which environment. To add one: write its class and name it here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from depo_lightning import envs
from depo_lightning.agents.teacher import Teacher
from depo_lightning.errors import ConfigError

SCRIPTS = {
    "babyai": "depo_lightning.agents.teacher:ScriptedTeacher",
    "webshop": "depo_lightning.agents.webshop_teacher:WebShopTeacher",
}


@dataclass(frozen=True)
class ScriptedCompany:
    """Scripted teachers of several environments as one; each reads the conversation, whose first message tells which.

    Attributes:
        teachers: by the environment's system prompt.
    """

    teachers: Mapping[str, Teacher]

    async def propose(self, messages: Sequence[Mapping[str, str]], k: int, seed: int) -> list[str]:
        """What the teacher of the conversation's environment proposes. See `Teacher.propose`.

        Raises:
            ConfigError: the conversation is of none of the environments.
        """
        system = messages[0]["content"]
        if system not in self.teachers:
            raise ConfigError(f"teacher=scripted: no script plays what begins with {system[:60]!r}")
        return await self.teachers[system].propose(messages, k, seed)


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


def scripted_company(parts: Mapping[str, Mapping[str, float]]) -> ScriptedCompany:
    """The scripted teachers of a mixture's environments; fields by environment.

    Raises:
        ConfigError: as `scripted_teacher` does.
    """
    return ScriptedCompany({envs.kind(env).system_prompt: scripted_teacher(env, **parts[env]) for env in parts})
