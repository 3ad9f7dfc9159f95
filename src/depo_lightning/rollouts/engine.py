"""Batched rollouts of a local causal language model: many episodes share each forward pass.

Every episode owns a row of the key–value cache for its whole life, so a token is computed once. When an episode ends,
the next task takes its row. Rows whose environment has answered wait until a few can be prefilled together, while the
others go on generating.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.envs.base import TextEnv
from depo_lightning.rollouts.decoder import Decoder
from depo_lightning.rollouts.episode import Episode
from depo_lightning.rollouts.sampling import episode_noise, sample
from depo_lightning.rollouts.settings import RolloutSettings, check_play
from depo_lightning.trajectory import Trajectory

_PREFILL_SHARE = 8  # prefill once 1/n of the rows waits: fewer calls against fewer idle rows
_PREFILL_TOKENS = 1024  # per prefill pass, padding included


def play(
    model: nn.Module,
    renderer: ChatRenderer,
    make_env: Callable[[], TextEnv],
    tasks: Sequence[int],
    settings: RolloutSettings,
    progress: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Play one episode per task; returns trajectories in the order of `tasks`.

    The same arguments give the same trajectories, apart from `extra["seconds"]` (wall clock from an episode's entry
    to its exit). The order of tasks and the batch size touch the logits by rounding only.

    Args:
        model: causal language model of `transformers` (or PEFT around one) with full attention in all layers.
        renderer: of the model's tokenizer.
        make_env: called at most once per row of the batch, and again after an environment has crashed.
        tasks: distinct task indices.
        settings: see `RolloutSettings`.
        progress: called with every trajectory as it ends.

    Raises:
        ConfigError: tasks repeat, or the model's context is shorter than asked for or not fully attended.
    """
    check_play(model, tasks, settings)
    if not tasks:
        return []
    with _playing(model):
        ended = _Rollout(model, renderer, make_env, tasks, settings, progress).run()
    return [ended[task] for task in tasks]


@dataclass(slots=True)
class _Row:
    """An episode in a row of the cache.

    Attributes:
        noise: uniform numbers for the tokens it has still to generate.
        pending: tokens to feed next; several while the row waits for its prefill.
        length: tokens whose keys and values are stored.
        turn: tokens generated in the current turn.
    """

    episode: Episode
    noise: Iterator[float]
    pending: list[int] = field(default_factory=list)
    length: int = 0
    turn: list[int] = field(default_factory=list)


class _Rollout:
    """One call of `play`: rows, queue and the model that serves them."""

    def __init__(
        self,
        model: nn.Module,
        renderer: ChatRenderer,
        make_env: Callable[[], TextEnv],
        tasks: Sequence[int],
        settings: RolloutSettings,
        progress: Callable[[Trajectory], None] | None,
    ) -> None:
        self.renderer, self.make_env, self.settings, self.progress = renderer, make_env, settings, progress
        self.decoder = Decoder(model, min(settings.batch_size, len(tasks)), settings.max_context)
        self.stops = {renderer.eot_id, renderer.tokenizer.eos_token_id}
        self.queue = deque(tasks)
        self.rows: list[_Row] = []
        self.ended: dict[int, Trajectory] = {}
        self.idle_envs: list[TextEnv] = []

    def run(self) -> dict[int, Trajectory]:
        """Play until no task is left; trajectories by task."""
        while self._fill():
            waiting = [index for index, row in enumerate(self.rows) if len(row.pending) > 1]
            if len(waiting) * _PREFILL_SHARE >= len(self.rows):
                for group in _groups(waiting, [len(row.pending) for row in self.rows]):
                    self._prefill(group)
            else:
                self._decode()
            self._release()
        return self.ended

    def _fill(self) -> bool:
        """Seat tasks in free rows; False when nothing is left to play."""
        while self.queue and len(self.rows) < self.settings.batch_size:
            row = self._enter(self.queue.popleft())
            if row.episode.status is None:
                self.rows.append(row)
            else:
                self._leave(row)
        return bool(self.rows)

    def _enter(self, task: int) -> _Row:
        settings = self.settings
        env = self.idle_envs.pop() if self.idle_envs else self.make_env()
        noise = episode_noise(settings.seed, task, settings.max_steps * settings.max_new_tokens)
        row = _Row(Episode(env, task, settings.seed, settings.max_steps), iter(noise.tolist()))
        if row.episode.status is None:
            self._ask(row, self.renderer.prompt_ids(row.episode.messages))
        return row

    def _ask(self, row: _Row, prompt: list[int]) -> None:
        """Hand the agent its next prompt, if a whole turn still has room behind it."""
        if row.length + len(prompt) + self.settings.max_new_tokens > self.settings.max_context:
            row.episode.truncate("max_context")
        row.pending = prompt
        row.turn = []

    def _prefill(self, group: list[int]) -> None:
        rows = [self.rows[index] for index in group]
        logits = self.decoder.feed(group, [row.pending for row in rows], [row.length for row in rows])
        for row in rows:
            row.length += len(row.pending)
        self._extend(rows, logits)

    def _decode(self) -> None:
        """One token for every row that is not waiting; those ride along, for rows in order need no copy."""
        tokens = [row.pending[:1] for row in self.rows]
        logits = self.decoder.feed(None, tokens, [row.length for row in self.rows])
        going = [index for index, row in enumerate(self.rows) if len(row.pending) == 1]
        if len(going) < len(self.rows):
            logits = logits[torch.tensor(going, device=logits.device)]
        rows = [self.rows[index] for index in going]
        for row in rows:
            row.length += 1
        self._extend(rows, logits)

    def _extend(self, rows: list[_Row], logits: Tensor) -> None:
        """Sample a token for each row, and play the turns that end with it."""
        settings = self.settings
        uniforms = torch.tensor([next(row.noise) for row in rows], dtype=torch.float64).to(logits.device)
        for row, token in zip(rows, sample(logits, uniforms, settings.temperature).tolist(), strict=True):
            row.turn.append(token)
            row.pending = [token]
            if token in self.stops or len(row.turn) == settings.max_new_tokens:
                self._finish_turn(row)

    def _finish_turn(self, row: _Row) -> None:
        """Let the environment answer, and prepare the prompt that follows."""
        stopped = row.turn[-1] in self.stops
        said = row.turn[:-1] if stopped else row.turn
        text = self.renderer.tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)  # one turn, not a batch
        row.episode.play(text, len(row.turn))
        if row.episode.status is None:
            # A turn that was cut off is closed by force: the template knows no other end.
            closing = [self.renderer.eot_id] if stopped else [row.turn[-1], self.renderer.eot_id]
            self._ask(row, closing + self.renderer.next_prompt_ids(row.episode.messages))

    def _release(self) -> None:
        """Take ended episodes out; the last row moves into the gap, so that rows in play stay in order."""
        for index in reversed(range(len(self.rows))):
            if self.rows[index].episode.status is None:
                continue
            self._leave(self.rows[index])
            last = self.rows.pop()
            if index < len(self.rows):
                self.rows[index] = last
                self.decoder.move(len(self.rows), index, last.length)

    def _leave(self, row: _Row) -> None:
        trajectory = row.episode.trajectory()
        self.ended[trajectory.task] = trajectory
        if not trajectory.error:
            self.idle_envs.append(row.episode.env)
        if self.progress is not None:
            self.progress(trajectory)


def _groups(waiting: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Split waiting rows into groups of like size, each of at most `_PREFILL_TOKENS` tokens once padded."""
    group: list[int] = []
    for index in sorted(waiting, key=lambda index: sizes[index]):
        if group and (len(group) + 1) * sizes[index] > _PREFILL_TOKENS:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


@contextmanager
def _playing(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients, and the attention that suits single-token queries; all put back afterwards."""
    policy: Any = model  # a module's attributes have no types
    was_training, config = model.training, policy.config
    attention = config._attn_implementation
    # On a CPU the fused kernel takes three times as long as plain products when there is one query per row. With
    # grouped heads plain attention copies the keys, which costs more than it saves.
    heads = config.num_attention_heads
    plain = next(model.parameters()).device.type == "cpu" and getattr(config, "num_key_value_heads", heads) == heads
    model.eval()
    if plain:
        policy.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            yield
    finally:
        if plain:
            policy.set_attn_implementation(attention)
        model.train(was_training)
