"""Packed batches through the model, several passes at a time on a CPU.

A small model leaves most of a second core idle: its matrices are too small to share out. Whole passes are not, so each
thread takes its own, forward and backward. Sums are always taken in the same order for a given number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from depo_lightning.modules.attention import Layout, packed_attention
from depo_lightning.modules.packed import PackedBatch, PackedPass
from depo_lightning.objectives.logps import segment_logps, token_logps

T = TypeVar("T")
Scores = tuple[Tensor, Tensor]  # (A,) log-probabilities of a pass's agent tokens; (A',) those of its branches


@dataclass(frozen=True, slots=True)
class Compute:
    """How batches are computed; it changes results by rounding only.

    Attributes:
        threads: passes over a packed batch at a time on a CPU.
        flex: let FlexAttention compute the trees of a packed batch, from one mask over the whole pass; for GPUs.
        one_pass: a padded batch is one pass, however different its lengths: where all devices must make the same.
    """

    threads: int = 1
    flex: bool = False
    one_pass: bool = False


PLAIN = Compute()


def packed_logps(model: Any, batch: PackedBatch, compute: Compute = PLAIN) -> tuple[Tensor, Tensor]:
    """Log-probability of every segment, (S,), and of every branch, (K,), the latter without gradient.

    Args:
        model: causal LM that `supports_packing`.
        batch: its passes.
        compute: how.
    """
    if not _threads_help(model, batch):
        compute = replace(compute, threads=1)
    with packed_attention(model):
        if not torch.is_grad_enabled() or (compute.threads == 1 and not _checkpoints(model)):
            scores = _each(lambda item: _score(model, item, compute.flex), batch.passes, compute.threads)
            logps, branches = ([score[index] for score in scores] for index in (0, 1))
        else:
            parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
            passes = _Passes(model, batch.passes, parameters, compute)
            *logps, joined = _Concurrent.apply(passes, *parameters)
            branches = [joined]
    values = torch.cat([value[item.members] for value, item in zip(logps, batch.passes, strict=True)])
    segments = torch.cat([item.segments for item in batch.passes])
    owners = [item.branches.owners for item in batch.passes if item.branches is not None]
    scored = segment_logps(values, segments, batch.count)
    if not owners:
        return scored, scored.new_zeros(batch.branches)
    return scored, segment_logps(torch.cat(branches), torch.cat(owners), batch.branches)


def _checkpoints(model: Any) -> bool:
    """Whether layers are computed again in the backward pass, which then needs packed attention as well."""
    if not model.training:
        return False
    # The model's own property has another name from one version of Transformers to the next.
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def _threads_help(model: Any, batch: PackedBatch) -> bool:
    """Dropout draws from one generator, and autocast is a state of one thread: with either, passes take turns."""
    on_cpu = batch.passes[0].input_ids.device.type == "cpu"
    drops = model.training and any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules())
    return on_cpu and len(batch.passes) > 1 and not drops and not torch.is_autocast_enabled("cpu")


def _score(model: Any, item: PackedPass, flex: bool) -> Scores:
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    layout = Layout(
        item.stretches, item.exits if flex else None, keep=item.branches is not None, checkpointing=_checkpoints(model)
    )
    hidden = _hidden(decoder, item.input_ids, item.positions, layout)
    logps = token_logps(hidden[item.predictors], head, item.targets)
    if item.branches is None:
        return logps, logps.new_empty(0).detach()
    with torch.no_grad():
        known = hidden.detach()
        if item.branches.input_ids.numel():
            behind = Layout(item.branches.stretches, base=layout)
            more = _hidden(decoder, item.branches.input_ids, item.branches.positions, behind)
            known = torch.cat([known, more])
        layout.forget()
        return logps, token_logps(known[item.branches.predictors], head, item.branches.targets)


def _hidden(decoder: Any, input_ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
    """(N, H) last hidden states."""
    states: Tensor = decoder(
        input_ids=input_ids, position_ids=positions, use_cache=False, layout=layout
    ).last_hidden_state
    return states[0]


class _Passes:
    """The passes of one batch, from their forward to their backward."""

    def __init__(self, model: Any, passes: Sequence[PackedPass], parameters: list[Tensor], compute: Compute) -> None:
        self.model, self.passes, self.parameters = model, passes, parameters
        self.compute = compute
        self.graphs: list[Tensor] = []

    def forward(self) -> list[Scores]:
        scores = _each(self._forward, self.passes, self.compute.threads)
        self.graphs = [logps for logps, _ in scores]
        return [(logps.detach(), branches) for logps, branches in scores]

    def _forward(self, item: PackedPass) -> Scores:
        with torch.enable_grad():
            return _score(self.model, item, self.compute.flex)

    def backward(self, gradients: Sequence[Tensor]) -> list[Tensor | None]:
        with packed_attention(self.model):
            found = _each(self._backward, list(zip(self.graphs, gradients, strict=True)), self.compute.threads)
        self.graphs = []
        return [_sum(column) for column in zip(*found, strict=True)]

    def _backward(self, task: tuple[Tensor, Tensor]) -> tuple[Tensor | None, ...]:
        logps, gradient = task
        return torch.autograd.grad(logps, self.parameters, gradient, allow_unused=True)


class _Concurrent(torch.autograd.Function):
    """All passes as one node of the graph: the parameters go in, log-probabilities come out."""

    @staticmethod
    def forward(ctx: Any, passes: _Passes, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.passes = passes
        scores = passes.forward()
        branches = torch.cat([branches for _, branches in scores])
        ctx.mark_non_differentiable(branches)
        return (*(logps for logps, _ in scores), branches)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *ctx.passes.backward(gradients[:-1])


def _each(work: Callable[[Any], T], items: Sequence[Any], threads: int) -> list[T]:
    """Results in the order of the items; whether a graph is kept is the caller's choice, in every thread."""
    if threads == 1 or len(items) == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items)), initializer=_join, initargs=(torch.is_grad_enabled(),)) as pool:
        return list(pool.map(work, items))


def _join(grad: bool) -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(grad)  # a thread starts with it enabled, whatever holds in the one that starts it


def _sum(parts: Sequence[Tensor | None]) -> Tensor | None:
    total: Tensor | None = None
    for part in parts:
        if part is not None:
            total = part if total is None else total + part
    return total
