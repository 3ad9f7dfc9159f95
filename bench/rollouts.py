"""Rollouts against `generate` of transformers: a dynamic cache, and every turn computes the whole conversation again.

The peer gets what ours gets: environment, renderer, settings, threads. It plays one episode at a time, or a batch whose
episodes take their turns together, padded on the left, at the batch size that suits it best. Of several threads ours
makes as many processes, as an evaluation does; the peer hands them to torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.alternate import alternate
from bench.settings import Settings, Unavailable
from bench.table import Row, number
from bench.workers import Clock, PeakMemory
from depo_lightning import envs
from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.rollouts import RolloutSettings, play_parallel
from depo_lightning.rollouts.episode import Episode
from depo_lightning.stages import policies
from depo_lightning.trajectory import Trajectory

BATCH = 32  # the peer's best of 1, 8, 16, 32, 64, 128
EPISODES = 500
TARGET = 8.0


@dataclass(frozen=True)
class Game:
    """A policy, and how it is played."""

    model: Any
    renderer: ChatRenderer
    make_env: Callable[[], envs.TextEnv]
    rollout: RolloutSettings

    def tasks(self, count: int) -> list[int]:
        return self.make_env().tasks(envs.Split.TEST, count)


def measure(settings: Settings) -> list[Row]:
    """Agent tokens a second, greedy and sampled, with memory and how many episodes are equal."""
    torch.set_num_threads(settings.threads)
    game = load(settings)
    greedy = replace(game, rollout=replace(game.rollout, temperature=0.0))
    some, few = (16, 4) if settings.quick else (160, 8)
    rows = []
    for chosen in (greedy, game):
        rows.append(compare(chosen, few, some, 1, settings))
        # Equality is asked of all episodes; where it cannot be had, a part of them tells the rate.
        whole = chosen is greedy and not settings.quick
        peers, ours = (EPISODES, EPISODES) if whole else (2 * BATCH, some)
        rows.append(compare(chosen, min(peers, ours), ours, BATCH, settings))
    return rows


def load(settings: Settings) -> Game:
    """The behaviour-cloned policy of a store, as its evaluation played it."""
    for evaluation in settings.artifacts("evaluate"):
        manifest = json.loads((evaluation / "manifest.json").read_text())
        path = evaluation.parents[1] / "bc" / manifest["inputs"]["policy"]
        if path.exists():
            return _game(path, manifest["config"]["rollout"], settings.device)
    raise Unavailable("the store holds no evaluation of a bc artifact")


def _game(path: Path, rollout: dict[str, Any], device: str) -> Game:
    loaded, tokenizer = policies.load_policy(path)
    model: Any = loaded  # its `to` is typed as taking no device
    own = {name: rollout[name] for name in RolloutSettings.__slots__}
    env = dict(rollout["env"])
    make_env = partial(envs.make, env.pop("name"), **env)
    return Game(model.to(device).eval(), ChatRenderer(tokenizer), make_env, RolloutSettings(**own))


def compare(game: Game, peer_episodes: int, episodes: int, batch: int, settings: Settings) -> Row:
    """One row. The peer may play fewer episodes, since figures are rates; the longest comparison is made once."""
    played: dict[str, list[Trajectory]] = {}
    mib: dict[str, float] = {}
    cpu: dict[str, list[float]] = {"ours": [], "peer": []}

    def rate(name: str, run: Callable[[], list[Trajectory]]) -> float:
        memory, clock = PeakMemory(settings.device), Clock()
        played[name] = run()
        seconds = clock.seconds()
        mib.setdefault(name, memory.mib())
        tokens = sum(episode.agent_tokens for episode in played[name])
        cpu[name].append(tokens / seconds["cpu_seconds"])
        return tokens / seconds["seconds"]

    tasks, workers = game.tasks(episodes), settings.threads

    def played_by_us() -> list[Trajectory]:
        return play_parallel(game.model, game.renderer, game.make_env, tasks, game.rollout, workers)

    ours, peer = alternate(
        lambda: rate("ours", played_by_us),
        lambda: rate("peer", lambda: generate(game, tasks[:peer_episodes], batch)),
        1 if peer_episodes == EPISODES else settings.repetitions,
    )
    greedy = game.rollout.temperature == 0
    several = settings.device == "cpu" and workers > 1  # processes, whose time and memory no clock here sees
    notes = [f"ours in {workers} processes"] if several else []
    if settings.device == "cpu" and not several:
        notes = [f"{number(median(cpu['ours']) / median(cpu['peer']))}× by CPU time"]
    if greedy:
        equal = sum(texts(a) == texts(b) for a, b in zip(played["ours"], played["peer"], strict=False))
        notes.append(f"{equal} of {peer_episodes} episodes equal")
    return Row(
        subject="rollouts",
        what=f"{'greedy' if greedy else 'sampled'}, {episodes} episodes",
        unit="agent tokens/s",
        ours=ours,
        peer=peer,
        peer_name=f"generate, batch {batch}",
        ours_mib=None if several else mib["ours"],
        peer_mib=mib["peer"],
        target=TARGET,
        note="; ".join(notes),
    )


def texts(episode: Trajectory) -> list[tuple[str, int]]:
    """What the agent said, with the tokens it took."""
    return [(step.text, step.tokens) for step in episode.steps]


def generate(game: Game, tasks: Sequence[int], batch: int) -> list[Trajectory]:
    """One episode per task by `model.generate`, `batch` at a time; in the order of tasks."""
    ended: dict[int, Trajectory] = {}
    torch.manual_seed(game.rollout.seed)
    for start in range(0, len(tasks), batch):
        live = []
        for task in tasks[start : start + batch]:
            episode = Episode(game.make_env(), task, game.rollout.seed, game.rollout.max_steps)
            live.append((episode, game.renderer.prompt_ids(episode.messages)))
        while live:
            for episode, ids in live:
                if len(ids) + game.rollout.max_new_tokens > game.rollout.max_context:
                    episode.truncate("max_context")
            ended |= {episode.task: episode.trajectory() for episode, _ in live if episode.status is not None}
            live = [(episode, ids) for episode, ids in live if episode.status is None]
            live = _take_turns(game, live) if live else []
    return [ended[task] for task in tasks]


def _take_turns(game: Game, live: list[tuple[Episode, list[int]]]) -> list[tuple[Episode, list[int]]]:
    """Every episode takes a turn; returns each with its next prompt, or as it was where it has ended."""
    following = []
    for (episode, ids), turn in zip(live, _turns(game, [ids for _, ids in live]), strict=True):
        stopped = turn[-1] in _stops(game)
        said = turn[:-1] if stopped else turn
        text = game.renderer.tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        episode.play(text, len(turn))
        if episode.status is None:
            ids = ids + said + [game.renderer.eot_id] + game.renderer.next_prompt_ids(episode.messages)
        following.append((episode, ids))
    return following


def _turns(game: Game, prompts: list[list[int]]) -> list[list[int]]:
    """The ids of one turn for every prompt, up to its first stop token."""
    width = max(map(len, prompts))
    padding = game.renderer.tokenizer.pad_token_id
    ids = torch.tensor([[padding] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    temperature = game.rollout.temperature
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    with torch.inference_mode():
        output = game.model.generate(
            input_ids=ids.to(game.model.device),
            attention_mask=mask.to(game.model.device),
            max_new_tokens=game.rollout.max_new_tokens,
            eos_token_id=_stops(game),
            pad_token_id=padding,
            **sampling,
        )
    stops = set(_stops(game))
    rows = output[:, width:].tolist()
    return [row[: next((place + 1 for place, i in enumerate(row) if i in stops), len(row))] for row in rows]


def _stops(game: Game) -> list[int]:
    return [game.renderer.eot_id, game.renderer.tokenizer.eos_token_id]
