"""`python run.py --help`: Hydra's text, in a fraction of its time.

To list the groups, Hydra copies every registered schema anew for each question that it asks about each group; here the
sources of configuration are asked directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigSource
from omegaconf import OmegaConf, open_dict


def wanted(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for help on overrides alone; with further flags, Hydra answers itself."""
    flags = [argument for argument in arguments if argument.startswith("-")]
    return flags in (["--help"], ["-h"]) and not any("hydra.searchpath" in argument for argument in arguments)


def help_text(arguments: Sequence[str], config_dir: Path, config_name: str, job_name: str) -> str:
    """What Hydra prints for these arguments: the groups and their options, and the configuration composed of them.

    Raises:
        HydraException, OmegaConfBaseException: it cannot be composed.
    """
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    with initialize_config_dir(str(config_dir), job_name, version_base="1.3"):
        config = compose(config_name, overrides, return_hydra_config=True)
        sources = GlobalHydra.instance().config_loader().get_sources()
    options = dict(sorted(_groups(sources)))
    template = config.hydra.help.template
    with open_dict(config):
        del config["hydra"]
    return Template(template).safe_substitute(
        APP_CONFIG_GROUPS=_listing(options, of_hydra=False),
        HYDRA_CONFIG_GROUPS=_listing(options, of_hydra=True),
        CONFIG=OmegaConf.to_yaml(config),
    )


def _groups(sources: Sequence[ConfigSource], parent: str = "") -> Iterator[tuple[str, list[str]]]:
    """(group, its options), groups within groups included."""
    for name in _listed(sources, parent, ObjectType.GROUP):
        group = f"{parent}/{name}" if parent else name
        if options := _listed(sources, group, ObjectType.CONFIG):
            yield group, options
        yield from _groups(sources, group)


def _listed(sources: Sequence[ConfigSource], path: str, kind: ObjectType) -> list[str]:
    return sorted({name for source in sources if source.is_group(path) for name in source.list(path, kind)})


def _listing(options: dict[str, list[str]], of_hydra: bool) -> str:
    chosen = {group: names for group, names in options.items() if (group.split("/")[0] == "hydra") is of_hydra}
    return "".join(f"{group}: {', '.join(names)}\n" for group, names in chosen.items())
