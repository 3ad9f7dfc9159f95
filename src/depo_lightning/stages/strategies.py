"""How Lightning shares a training out over devices."""

from __future__ import annotations

from typing import Any

from lightning_fabric.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, Strategy
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from depo_lightning import config
from depo_lightning.config import TrainerConfig
from depo_lightning.errors import ConfigError
from depo_lightning.team import Team


class TeamEnvironment(LightningEnvironment):
    """Tells Lightning of processes that are there already, and connected."""

    def __init__(self, team: Team, devices: int) -> None:
        super().__init__()
        self.team = team
        self.devices = devices

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts none."""
        return True

    def world_size(self) -> int:
        """All of them."""
        return self.team.size

    def set_world_size(self, size: int) -> None:
        """It is known."""

    def global_rank(self) -> int:
        """This one's number."""
        return self.team.rank

    def set_global_rank(self, rank: int) -> None:
        """It is known."""

    def local_rank(self) -> int:
        """This one's number on its node."""
        return self.team.local

    def node_rank(self) -> int:
        """Its node's number."""
        return self.team.rank // self.devices

    def teardown(self) -> None:
        """There is more than one training."""


def shared(trainer: TrainerConfig, team: Team, model: Any) -> Strategy:
    """Lightning's strategy for the model and this process."""
    environment = TeamEnvironment(team, trainer.devices)
    if trainer.strategy is config.Strategy.ddp:
        return DDPStrategy(cluster_environment=environment)
    layers = decoder_layers(model)
    return FSDPStrategy(
        cluster_environment=environment,
        auto_wrap_policy=ModuleWrapPolicy(layers),
        activation_checkpointing_policy=ModuleWrapPolicy(layers) if trainer.gradient_checkpointing else None,
        use_orig_params=True,  # trainable adapters beside frozen weights
        state_dict_type="full",  # what a policy is saved from
    )


def decoder_layers(model: nn.Module) -> set[type[nn.Module]]:
    """The classes of the model's decoder layers, which are the units of sharding.

    Raises:
        ConfigError: the model names none.
    """
    names = set(getattr(model, "_no_split_modules", None) or ())
    if (base := getattr(model, "get_base_model", None)) is not None:
        names |= set(base()._no_split_modules or ())
    found = {type(module) for module in model.modules() if type(module).__name__ in names}
    if not found:
        raise ConfigError(
            f"trainer.strategy=fsdp: {type(model).__name__} names no layers to shard by (_no_split_modules); use ddp"
        )
    return found


def whole_again(module: nn.Module, strategy: Strategy) -> None:
    """After a training in shards: put the module together again, in the first process, on the CPU."""
    if not isinstance(strategy, FSDPStrategy):
        return
    state = strategy.lightning_module_state_dict()  # all processes give their shards; only the first has the whole
    if strategy.global_rank > 0:
        return
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            setattr(parent, name, _unwrapped(child))
    for prefix, part in module.named_modules(remove_duplicate=False):
        for name, shard in list(part.named_parameters(recurse=False, remove_duplicate=False)):
            values = state[f"{prefix}.{name}".lstrip(".")]
            part.register_parameter(name, nn.Parameter(values, requires_grad=shard.requires_grad))
    model: Any = module.model
    model.tie_weights()


def _unwrapped(module: nn.Module) -> nn.Module:
    while True:
        if isinstance(module, FullyShardedDataParallel):
            module = module.module
        elif isinstance(module, CheckpointWrapper):
            module = module._checkpoint_wrapped_module
        else:
            return module
