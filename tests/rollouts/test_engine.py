"""Rollouts against plain generation without a cache, and what must not change an episode."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.rollouts.world import (
    MODEL,
    RENDERER,
    SETTINGS,
    TASKS,
    TOKENIZER,
    FakeEnv,
    adapted,
    gpt2,
    llama,
    randomised,
    record,
)
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from depo_lightning.agents.react import FormatError, parse_turn
from depo_lightning.envs.base import StepResult, TextEnv
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.rollouts import RolloutSettings, play, play_parallel
from depo_lightning.rollouts.cache import RowCache
from depo_lightning.rollouts.decoder import Decoder
from depo_lightning.trajectory import Status, Trajectory


def generate(model: PreTrainedModel, ids: list[int], noise: Iterable[float], temperature: float) -> list[int]:
    """One turn, the whole context computed afresh for every token."""
    turn: list[int] = []
    while len(turn) < SETTINGS.max_new_tokens:
        with torch.no_grad():
            logits = model(torch.tensor([ids + turn]), use_cache=False).logits[0, -1].numpy()
        if temperature == 0:
            turn.append(int(logits.argmax()))
        else:
            weights = np.exp((logits - logits.max()) / temperature)
            turn.append(int(np.argmax(np.cumsum(weights) / weights.sum() > next(noise))))
        if turn[-1] == RENDERER.eot_id:
            break
    return turn


def oracle(model: PreTrainedModel, task: int, temperature: float) -> list[tuple[str, str, int, bool]]:
    """An episode, played the plain way: (observation, text, tokens, valid) per step."""
    env = FakeEnv()
    noise = np.random.default_rng([SETTINGS.seed, task]).random((SETTINGS.max_steps, SETTINGS.max_new_tokens))
    steps: list[tuple[str, str, int, bool]] = []
    observation, done = env.reset(task), False
    ids = RENDERER.prompt_ids([{"role": "user", "content": observation}])
    while not done and len(steps) < SETTINGS.max_steps and len(ids) + SETTINGS.max_new_tokens <= SETTINGS.max_context:
        turn = generate(model, ids, iter(noise[len(steps)]), temperature)
        stopped = turn[-1] == RENDERER.eot_id
        text = TOKENIZER.decode(turn, skip_special_tokens=True)
        try:
            result = env.step(parse_turn(text).action)
        except FormatError as error:
            result = StepResult(str(error), 0.0, done=False, valid=False)
        steps.append((observation, text, len(turn), result.valid))
        observation, done = result.observation, result.done
        after = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}]
        ids += turn + [RENDERER.eot_id] * (not stopped)
        ids += RENDERER.next_prompt_ids([*after, {"role": "user", "content": observation}])
    return steps


@pytest.mark.parametrize(
    ("build", "temperature"),
    [
        (lambda: MODEL, 0.0),
        (lambda: MODEL, 1.0),
        (lambda: llama(kv_heads=2), 1.0),
        (gpt2, 1.0),
        (adapted, 1.0),
    ],
    ids=["greedy", "sampled", "grouped heads", "learned positions", "adapters"],
)
def test_equals_plain_generation(build: Callable[[], PreTrainedModel], temperature: float) -> None:
    model = build()
    played = play(model, RENDERER, FakeEnv, TASKS, replace(SETTINGS, temperature=temperature, batch_size=7))
    texts = [[(s.observation, s.text, s.tokens, s.valid) for s in t.steps] for t in played]
    assert texts == [oracle(model, task, temperature) for task in TASKS]
    lengths = [tokens for steps in texts for *_, tokens, _ in steps]
    assert min(lengths) < SETTINGS.max_new_tokens == max(lengths)  # ended turns and cut-off turns both occurred
    assert len({text for steps in texts for _, text, *_ in steps}) > 20
    assert {t.status for t in played} == {Status.FINISHED, Status.TRUNCATED}


def test_rows_of_unlike_length_share_a_pass_up_to_the_models_last_position() -> None:
    model = gpt2()
    ids = torch.randint(5, 300, (2, 220), generator=torch.Generator().manual_seed(0)).tolist()
    decoder, cache = Decoder(model), RowCache(220)
    cache.reserve(2)
    with torch.no_grad():
        decoder.feed(cache, [ids[0][:210], ids[1][:1]], [0, 0], [0, 0])
        # Padded to 199 tokens, the first of these rows would reach past the 220 positions of the model.
        logits = decoder.feed(cache, [ids[0][210:], ids[1][1:200]], [210, 1], [2, 1])
        whole = [model(torch.tensor([row])).logits[0] for row in (ids[0], ids[1][:200])]
    torch.testing.assert_close(logits, torch.stack([whole[0][-2], whole[0][-1], whole[1][-1]]))


def test_batch_size_and_order_change_nothing() -> None:
    whole = record(play(MODEL, RENDERER, FakeEnv, TASKS, SETTINGS))
    assert record(play(MODEL, RENDERER, FakeEnv, TASKS, SETTINGS)) == whole
    single = play(MODEL, RENDERER, FakeEnv, TASKS[::-1], replace(SETTINGS, batch_size=1))
    assert record(single)[::-1] == whole
    assert record(play(MODEL, RENDERER, FakeEnv, TASKS[5:9], replace(SETTINGS, batch_size=3))) == whole[5:9]


def test_noise_is_the_seeds() -> None:
    first, second = (play(MODEL, RENDERER, FakeEnv, TASKS[:4], replace(SETTINGS, seed=seed)) for seed in (0, 1))
    assert [t.steps[0].text for t in first] != [t.steps[0].text for t in second]
    assert [t.seed for t in second] == [1] * 4


def test_fields_of_a_trajectory() -> None:
    reported: list[Trajectory] = []
    played = play(MODEL, RENDERER, FakeEnv, TASKS, SETTINGS, progress=reported.append)
    assert sorted(t.task for t in reported) == TASKS == [t.task for t in played]
    assert len({t.id for t in played}) == len(TASKS)
    for t in played:
        assert (t.env, t.seed, t.level, t.system) == ("fake", 0, f"level {t.task % 3}", "Find the ball.")
        assert t.extra["seconds"] > sum(t.extra["turn_seconds"]) > 0
        assert len(t.extra["turn_seconds"]) == t.t_step
        assert t.success == (t.status is Status.FINISHED)
        assert t.reward == (0.9 if t.success else 0.0)
        if t.status is Status.TRUNCATED:
            assert t.extra["reason"] in ("max_steps", "max_context")
            assert t.t_step == SETTINGS.max_steps or t.extra["reason"] == "max_context"


def test_context_outgrown() -> None:
    settings = replace(SETTINGS, max_context=60, max_steps=50)
    played = play(MODEL, RENDERER, FakeEnv, TASKS, settings)
    outgrown = [t for t in played if t.extra.get("reason") == "max_context"]
    assert outgrown
    for t in outgrown:
        used = len(RENDERER.prompt_ids([{"role": "user", "content": t.steps[0].observation}])) + t.agent_tokens
        assert used <= 60
        assert not t.success
    tiny = play(MODEL, RENDERER, FakeEnv, [0], replace(SETTINGS, max_context=9))
    assert (tiny[0].status, tiny[0].steps, tiny[0].extra["reason"]) == (Status.TRUNCATED, (), "max_context")


class Crashing(FakeEnv):
    """Task 1 fails in reset, task 2 in its second step."""

    def reset(self, task: int) -> str:
        if task == 1:
            raise ValueError("no such world")
        self.task, self.played = task, 0
        return super().reset(task)

    def step(self, action: str) -> StepResult:
        self.played += 1
        if self.task == 2 and self.played == 2:
            raise RuntimeError("the floor is gone")
        return replace(super().step(action), done=False, success=False)


def test_a_crash_ends_its_own_episode_only() -> None:
    crashed = play(MODEL, RENDERER, Crashing, TASKS[:6], replace(SETTINGS, batch_size=2))
    assert [str(t.status) for t in crashed] == ["truncated", "crashed", "crashed", *["truncated"] * 3]
    assert [t.error for t in crashed[:3]] == ["", "ValueError: no such world", "RuntimeError: the floor is gone"]
    assert [t.t_step for t in crashed[:3]] == [SETTINGS.max_steps, 0, 2]
    assert (crashed[2].reward, crashed[2].success) == (0.0, False)
    alone = play(MODEL, RENDERER, Crashing, [0, 3, 4, 5], SETTINGS)
    assert record([crashed[0], *crashed[3:]]) == record(alone)


def test_the_model_comes_back_as_it_was() -> None:
    model = llama()
    model.train()
    play(model, RENDERER, FakeEnv, [0], SETTINGS)
    assert model.training
    assert model.config._attn_implementation == "sdpa"
    assert play(model, RENDERER, FakeEnv, [], SETTINGS) == []


def test_faults_are_the_users() -> None:
    with pytest.raises(ConfigError) as caught:
        RolloutSettings(max_steps=0, temperature=-1, seed=-1, max_new_tokens=64, max_context=64)
    assert len(caught.value.faults) == 4
    with pytest.raises(ConfigError) as caught:
        play(MODEL, RENDERER, FakeEnv, [1, 1, -1], replace(SETTINGS, max_context=1000))
    assert len(caught.value.faults) == 3
    model = llama()
    model.config.layer_types = ["full_attention", "sliding_attention"]
    model.config.sliding_window = 64
    with pytest.raises(ConfigError, match="sliding_attention"):
        play(model, RENDERER, FakeEnv, [0], SETTINGS)


def test_a_window_that_has_no_layer_types_counts() -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4}
    config = MistralConfig(vocab_size=len(TOKENIZER), **shape, num_key_value_heads=4, sliding_window=48)
    model = randomised(MistralForCausalLM(config), 2.5)
    with pytest.raises(ConfigError, match="window"):
        play(model, RENDERER, FakeEnv, [0], SETTINGS)
    model.config.sliding_window = SETTINGS.max_context
    played = play(model, RENDERER, FakeEnv, [0], SETTINGS)
    assert [(s.observation, s.text, s.tokens, s.valid) for s in played[0].steps] == oracle(model, 0, 1.0)


def test_processes_change_nothing() -> None:
    alone = play(MODEL, RENDERER, FakeEnv, TASKS, SETTINGS)
    seen: list[int] = []
    shared = play_parallel(MODEL, RENDERER, FakeEnv, TASKS, SETTINGS, 2, lambda episode: seen.append(episode.task))
    assert record(shared) == record(alone)
    assert sorted(seen) == TASKS


def test_a_process_that_fails_is_reported() -> None:
    here = os.getpid()

    def broken() -> TextEnv:
        if os.getpid() == here:
            return FakeEnv()
        raise RuntimeError("no environment here")

    with pytest.raises(MachineError, match="no environment here"):
        play_parallel(MODEL, RENDERER, broken, TASKS, SETTINGS, 2)


def test_a_process_that_dies_is_noticed_while_another_plays() -> None:
    here, dead = os.getpid(), []

    class Deadly(FakeEnv):
        def reset(self, task: int) -> str:
            if os.getpid() != here and task % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().reset(task)

        def step(self, action: str) -> StepResult:
            time.sleep(0.05)
            return super().step(action)

    with pytest.raises(MachineError, match="rollout process died"):
        play_parallel(MODEL, RENDERER, Deadly, TASKS, SETTINGS, 2, dead.append)
    assert len(dead) < len(TASKS) // 2


def test_a_process_that_is_killed_is_reported() -> None:
    here = os.getpid()

    def deadly() -> TextEnv:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return FakeEnv()

    with pytest.raises(MachineError, match="rollout process died"):
        play_parallel(MODEL, RENDERER, deadly, TASKS, SETTINGS, 2)
