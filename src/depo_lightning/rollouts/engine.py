"""Batched rollouts of a local causal language model: many episodes share each forward pass.

Every episode owns a row of a key–value cache, so a token is computed once. When an episode ends, the next task takes
its place. A pass feeds each row the next tokens of its prompt, or its last token and a guess of what follows it: the
noise of every token is known beforehand, so a guess is checked by sampling, and kept up to the first difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.envs.base import TextEnv
from depo_lightning.kernels import without_plans
from depo_lightning.rollouts.bands import Band, Row, make_bands, pass_width
from depo_lightning.rollouts.cache import States
from depo_lightning.rollouts.decoder import Decoder
from depo_lightning.rollouts.drafts import Drafts, PhraseBook
from depo_lightning.rollouts.episode import Episode
from depo_lightning.rollouts.sampling import episode_noise, sample
from depo_lightning.rollouts.settings import RolloutSettings, check_play
from depo_lightning.trajectory import Trajectory

_PREFIX = 16  # tokens that prompts must share to be computed once


def play(
    model: nn.Module,
    renderer: ChatRenderer,
    make_env: Callable[[], TextEnv],
    tasks: Sequence[int],
    settings: RolloutSettings,
    progress: Callable[[Trajectory], None] | None = None,
    drafts: Iterable[Trajectory] = (),
) -> list[Trajectory]:
    """`play_each`, with the trajectories in a list, in the order of `tasks`.

    Args:
        progress: called with every trajectory as it ends.
        model, renderer, make_env, tasks, settings, drafts: see `play_each`.
    """
    return listed(tasks, progress, lambda keep: play_each(model, renderer, make_env, tasks, settings, keep, drafts))


def play_each(
    model: nn.Module,
    renderer: ChatRenderer,
    make_env: Callable[[], TextEnv],
    tasks: Sequence[int],
    settings: RolloutSettings,
    keep: Callable[[int, Trajectory], object],
    drafts: Iterable[Trajectory] = (),
) -> None:
    """Play one episode per task.

    The same arguments give the same trajectories, apart from the wall clock in their extras (see `Episode`; a turn's
    seconds are those of all passes that its batch takes meanwhile). The order of tasks, the batch size and the drafts
    touch the logits by rounding only.

    Args:
        model: causal language model of `transformers` (or PEFT around one) with full attention in all layers.
        renderer: of the model's tokenizer.
        make_env: called at most once per row of the batch, and again after an environment has crashed.
        tasks: distinct task indices.
        settings: see `RolloutSettings`.
        keep: called with the task and its trajectory as it ends, in no fixed order.
        drafts: earlier episodes of a policy that may be like this one; those of the same tasks save time; likeliest
            first, where several are of one task.

    Raises:
        ConfigError: tasks repeat, or the model's context is shorter than asked for or not fully attended.
    """
    check_play(model, tasks, settings)
    if not tasks:
        return
    with _playing(model):
        _Rollout(model, renderer, make_env, tasks, settings, keep, Drafts(drafts, renderer)).run()


def listed(
    tasks: Sequence[int],
    progress: Callable[[Trajectory], None] | None,
    play: Callable[[Callable[[int, Trajectory], None]], None],
) -> list[Trajectory]:
    """What `play` hands to the function it is given, in the order of `tasks`; `progress` sees each as it comes."""
    ended: dict[int, Trajectory] = {}

    def keep(task: int, episode: Trajectory) -> None:
        ended[task] = episode
        if progress is not None:
            progress(episode)

    play(keep)
    return [ended[task] for task in tasks]


class _Rollout:
    """One call of `play_each`: rows, queue and the model that serves them."""

    def __init__(
        self,
        model: nn.Module,
        renderer: ChatRenderer,
        make_env: Callable[[], TextEnv],
        tasks: Sequence[int],
        settings: RolloutSettings,
        keep: Callable[[int, Trajectory], object],
        drafts: Drafts,
    ) -> None:
        self.renderer, self.make_env, self.settings, self.keep = renderer, make_env, settings, keep
        self.decoder = Decoder(model)
        self.stops = {renderer.eot_id, renderer.tokenizer.eos_token_id}
        self.drafts, self.book = drafts, PhraseBook(self.stops)
        self.queue = deque(tasks)
        self.bands = make_bands(settings.max_context)
        self.prefixes: dict[str, tuple[list[int], States]] = {}  # by environment
        self.idle_envs: list[TextEnv] = []

    def run(self) -> None:
        """Play until no task is left."""
        while self._fill():
            for index, band in enumerate(self.bands):
                if band.rows:
                    self._advance(index)
                self._release(band)

    def _fill(self) -> bool:
        """Seat tasks in free rows; False when nothing is left to play."""
        free = self.settings.batch_size - sum(len(band.rows) for band in self.bands)
        entered: list[Row] = []
        while self.queue and len(entered) < free:
            row = self._enter(self.queue.popleft())
            if row.episode.status is None:
                entered.append(row)
            else:
                self._leave(row)
        for env in {row.episode.origin[0] for row in entered} - self.prefixes.keys():
            alike = [row for row in entered if row.episode.origin[0] == env]
            if len(alike) > 1:
                self._share_prefix(env, alike)
        for row in entered:
            ids, states = self.prefixes.get(row.episode.origin[0], ([], []))
            if row.ids[: len(ids)] == ids:
                row.length = len(ids)
            self._band(len(row.ids)).add(row, states if row.length else None)
        return any(band.rows for band in self.bands)

    def _enter(self, task: int) -> Row:
        settings = self.settings
        env = self.idle_envs.pop() if self.idle_envs else self.make_env()
        episode = Episode(env, task, settings.seed, settings.max_steps)
        noise = episode_noise(settings.seed, episode.origin[1], settings.max_steps, settings.max_new_tokens)
        row = Row(episode, noise)
        if episode.status is None:
            self._ask(row, self.renderer.prompt_ids(episode.messages))
        return row

    def _share_prefix(self, env: str, rows: list[Row]) -> None:
        """Compute once what all prompts of an environment begin with: the system's text."""
        ids = min(row.ids[:-1] for row in rows)
        last = max(row.ids[:-1] for row in rows)  # what the first and the last in order share, all share
        ids = ids[: next((place for place, (a, b) in enumerate(zip(ids, last, strict=False)) if a != b), len(ids))]
        if len(ids) >= _PREFIX:
            band = Band(len(ids))
            band.cache.reserve(1)
            self.decoder.feed(band.cache, [ids], [0], [0])
            self.prefixes[env] = ids, band.cache.read(0, len(ids))

    def _band(self, length: int) -> Band:
        return next(band for band in self.bands if band.capacity >= length)

    def _ask(self, row: Row, prompt: list[int]) -> None:
        """Hand the agent its next prompt, if a whole turn still has room behind it."""
        row.ids += prompt
        row.start = len(row.ids)
        if row.start + self.settings.max_new_tokens > self.settings.max_context:
            row.episode.truncate("max_context")
        row.drafts = self.drafts.turns(row.episode.origin, row.turns, row.episode.messages[-1]["content"])

    def _advance(self, index: int) -> None:
        """One pass over a band."""
        band = self.bands[index]
        guesses = [self._guess(row) for row in band.rows]
        wishes = [len(row.ids) - row.length + len(guess) for row, guess in zip(band.rows, guesses, strict=True)]
        width = pass_width(wishes)
        for place in reversed(range(len(band.rows))):
            row = band.rows[place]
            if row.length + min(width, wishes[place]) > band.capacity:
                self._band(row.length + wishes[place]).add(row, band.states(place))
                band.remove(place)
                guesses[place] = guesses[-1]
                wishes[place] = wishes[-1]
                del guesses[-1], wishes[-1]
        if band.rows:
            self._feed(band, guesses, width)

    def _guess(self, row: Row) -> list[int]:
        """What the agent may say after the tokens that are there, short of the last that the turn has room for."""
        said = row.ids[row.start :]
        room = self.settings.max_new_tokens - len(said) - 1
        row.drafts = [draft for draft in row.drafts if draft[: len(said)] == said]
        guess = row.drafts[0][len(said) :] if row.drafts else []
        return (guess or self.book.guess(row.ids))[:room]

    def _feed(self, band: Band, guesses: list[list[int]], width: int) -> None:
        tokens, wanted = [], []
        for row, guess in zip(band.rows, guesses, strict=True):
            known = row.ids[row.length : row.length + width]
            whole = row.length + len(known) == len(row.ids)
            del guess[width - len(known) if whole else 0 :]
            tokens.append(known + guess)
            wanted.append(1 + len(guess) if whole else 0)
        logits = self.decoder.feed(band.cache, tokens, [row.length for row in band.rows], wanted)
        samples = iter(self._sample(band.rows, wanted, logits))
        for row, new, guess, count in zip(band.rows, tokens, guesses, wanted, strict=True):
            row.length += len(new) - len(guess)
            if count:
                self._extend(row, [next(samples) for _ in range(count)], guess)

    def _sample(self, rows: list[Row], wanted: list[int], logits: torch.Tensor) -> list[int]:
        noise = [
            row.noise[row.turns, len(row.ids) - row.start :][:count] for row, count in zip(rows, wanted, strict=True)
        ]
        uniforms = torch.from_numpy(np.concatenate(noise)).to(logits.device)
        return sample(logits, uniforms, self.settings.temperature).tolist() if len(uniforms) else []

    def _extend(self, row: Row, samples: list[int], guess: list[int]) -> None:
        """Append what the agent says, as long as the guess it was asked with holds; play the turn if it ends."""
        before = len(row.ids)
        for place, token in enumerate(samples):
            row.ids.append(token)
            right = place < len(guess) and guess[place] == token
            row.length += right
            if token in self.stops or len(row.ids) - row.start == self.settings.max_new_tokens:
                self.book.learn(row.ids, before)
                self._finish_turn(row)
                return
            if not right:
                break
        self.book.learn(row.ids, before)

    def _finish_turn(self, row: Row) -> None:
        """Let the environment answer, and prepare the prompt that follows."""
        turn = row.ids[row.start :]
        stopped = turn[-1] in self.stops
        row.episode.play(self.renderer.turn_text(turn[:-1] if stopped else turn), len(turn))
        row.turns += 1
        if row.episode.status is None:
            # A turn that was cut off is closed by force: the template knows no other end.
            closing = [] if stopped else [self.renderer.eot_id]
            self._ask(row, closing + self.renderer.next_prompt_ids(row.episode.messages))

    def _release(self, band: Band) -> None:
        """Take ended episodes out."""
        for index in reversed(range(len(band.rows))):
            row = band.rows[index]
            if row.episode.status is not None:
                self._leave(row)
                band.remove(index)

    def _leave(self, row: Row) -> None:
        trajectory = row.episode.trajectory()
        if not trajectory.error:
            self.idle_envs.append(row.episode.env)
        self.keep(row.episode.task, trajectory)


@contextmanager
def _playing(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; the mode is put back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), without_plans():
            yield
    finally:
        model.train(was_training)
