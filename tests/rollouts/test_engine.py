"""Rollouts against plain generation without a cache, and what must not change an episode."""

from __future__ import annotations

import os
import random
import signal
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from depo_lightning.agents.chat import ChatRenderer
from depo_lightning.agents.react import FormatError, parse_turn
from depo_lightning.envs.base import Split, StepResult, TextEnv
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.models import LoraSettings, add_lora, fit_tokenizer
from depo_lightning.rollouts import RolloutSettings, bands, engine, play, play_parallel
from depo_lightning.rollouts.bands import make_bands
from depo_lightning.rollouts.cache import RowCache
from depo_lightning.rollouts.decoder import Decoder
from depo_lightning.rollouts.drafts import PhraseBook
from depo_lightning.trajectory import Status, Trajectory

COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
OBJECTS = ("ball", "key", "box")
PHRASES = (rf" (?:{'|'.join(COLOURS)}) (?:{'|'.join(OBJECTS)})",)


def describe(generator: random.Random) -> str:
    things = [
        f" a {generator.choice(COLOURS)} {generator.choice(OBJECTS)} {generator.randint(1, 12)}" for _ in range(3)
    ]
    return "You see" + ",".join(things[: generator.randint(1, 3)]) + "."


class FakeEnv(TextEnv):
    """Answers depend on task and past actions; ends with the given chance per step; refuses the empty action."""

    name = "fake"
    system_prompt = "Find the ball."
    phrases = PHRASES
    end_chance = 0.25

    def reset(self, task: int) -> str:
        self.generator = random.Random(task)
        return "Goal: " + describe(self.generator)

    def step(self, action: str) -> StepResult:
        self.generator = random.Random(zlib.crc32(action.encode()) ^ self.generator.getrandbits(30))
        done = self.generator.random() < self.end_chance
        return StepResult(describe(self.generator), 0.9 * done, done, valid=bool(action), success=done)

    def actions(self) -> list[str]:
        return ["go"]

    def snapshot(self) -> Any:
        return self.generator.getstate()

    def restore(self, mark: Any) -> None:
        self.generator.setstate(mark)

    def tasks(self, split: Split, count: int) -> list[int]:
        return list(range(count))

    def level(self, task: int) -> str:
        return f"level {task % 3}"


_generator = random.Random(0)
TOKENIZER = fit_tokenizer([describe(_generator) for _ in range(200)], PHRASES, 300)
RENDERER = ChatRenderer(TOKENIZER)
SETTINGS = RolloutSettings(max_steps=5, max_new_tokens=8, temperature=1.0, batch_size=32, max_context=220)
TASKS = list(range(32))


def randomised(model: PreTrainedModel, eot_scale: float = 1.0) -> PreTrainedModel:
    """Weights large enough for varied text, in float64; the end-of-turn token is made more or less likely."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name and "ln_" not in name:
                parameter.normal_(0, 0.25)
        model.get_output_embeddings().weight[TOKENIZER.eos_token_id] *= eot_scale
    return model.double().eval()


def llama(kv_heads: int = 4, eot_scale: float = 2.5) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=256,
        attn_implementation="sdpa",
    )
    return randomised(LlamaForCausalLM(config), eot_scale)


def gpt2() -> PreTrainedModel:
    config = GPT2Config(vocab_size=len(TOKENIZER), n_embd=32, n_layer=2, n_head=4, n_positions=220)
    return randomised(GPT2LMHeadModel(config), eot_scale=2.5)


MODEL = llama()


def adapted() -> PreTrainedModel:
    model = add_lora(llama(), LoraSettings(rank=2))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.2)
    return model.double()


def record(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Without the wall clock."""
    timeless = [{key: value for key, value in t.extra.items() if key != "seconds"} for t in trajectories]
    return [replace(t, extra=extra) for t, extra in zip(trajectories, timeless, strict=True)]


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


def misguided(episodes: list[Trajectory]) -> list[Trajectory]:
    """Drafts of every kind: right, wrong in the middle, shorter, longer, of other tasks, ended early, empty."""
    drafts = []
    for index, episode in enumerate(episodes):
        steps = list(episode.steps)
        kind = index % 7
        if kind == 1:
            steps = [replace(step, text=step.text[: len(step.text) // 2] + " key" + step.text[3:]) for step in steps]
        elif kind == 2:
            steps = [replace(step, text=step.text[:5]) for step in steps]
        elif kind == 3:
            steps = [replace(step, text=step.text + " You see a red ball 1." * 9) for step in steps]
        elif kind == 4:
            steps = [
                replace(step, text=other.text) for step, other in zip(steps, episodes[index - 1].steps, strict=False)
            ]
        elif kind == 5:
            episode = replace(episode, status=Status.CRASHED, error="gone")
            steps = steps[:1]
        elif kind == 6:
            steps = [replace(step, text="") for step in steps]
        drafts.append(replace(episode, steps=tuple(steps)))
    return [*drafts, replace(episodes[0], task=1000)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_drafts_change_nothing_but_the_number_of_passes(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    feed = Decoder.feed

    def counted(self: Decoder, *args: Any) -> torch.Tensor:
        passes.append(1)
        return feed(self, *args)

    monkeypatch.setattr(Decoder, "feed", counted)
    settings = replace(SETTINGS, temperature=temperature, batch_size=1)
    plain = play(MODEL, RENDERER, FakeEnv, TASKS, settings)
    alone = len(passes)
    assert record(play(MODEL, RENDERER, FakeEnv, TASKS, settings, drafts=plain)) == record(plain)
    # Random weights say much that is not tokenised as it was said, which no draft can foresee.
    assert len(passes) - alone < 0.9 * alone
    assert record(play(MODEL, RENDERER, FakeEnv, TASKS, settings, drafts=misguided(plain))) == record(plain)
    passes.clear()
    assert record(play(MODEL, RENDERER, FakeEnv, TASKS, settings, drafts=misguided(plain) + plain)) == record(plain)
    assert len(passes) < 0.9 * alone  # the second draft of a task serves where the first fails
    mixed = play(MODEL, RENDERER, FakeEnv, TASKS, replace(settings, batch_size=9), drafts=misguided(plain))
    assert record(mixed) == record(plain)


def test_prompts_in_small_pieces_and_prefixes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = play(MODEL, RENDERER, FakeEnv, TASKS, SETTINGS)
    monkeypatch.setattr(bands, "_PASS_TOKENS", 2)
    monkeypatch.setattr(engine, "_PREFIX", 10**6)
    assert record(play(MODEL, RENDERER, FakeEnv, TASKS, replace(SETTINGS, batch_size=5))) == record(whole)


def test_the_prefix_of_all_prompts_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Instructed(FakeEnv):
        system_prompt = "You see a red ball 3, a grey key 4, a blue box 1. " * 3

    fed: list[int] = []
    feed = Decoder.feed

    def counted(self: Decoder, cache: RowCache, tokens: list[list[int]], *args: Any) -> torch.Tensor:
        fed.extend(map(len, tokens))
        return feed(self, cache, tokens, *args)

    monkeypatch.setattr(Decoder, "feed", counted)
    shared = play(MODEL, RENDERER, Instructed, TASKS, SETTINGS)
    with_sharing = sum(fed)
    monkeypatch.setattr(engine, "_PREFIX", 10**6)
    apart = play(MODEL, RENDERER, Instructed, TASKS, SETTINGS)
    system = {"role": "system", "content": Instructed.system_prompt}
    length = len(RENDERER.prompt_ids([system, {"role": "user", "content": ""}]))
    assert record(shared) == record(apart)
    assert sum(fed) - 2 * with_sharing > (len(TASKS) - 2) * (length - 12)


def test_a_row_moves_through_bands_unchanged() -> None:
    ids = torch.randint(5, 300, (3, 200), generator=torch.Generator().manual_seed(0)).tolist()
    decoder, short, long = Decoder(MODEL), RowCache(60), RowCache(220)
    short.reserve(3)
    with torch.no_grad():
        decoder.feed(short, [row[:60] for row in ids], [0] * 3, [0] * 3)
        for target, source in enumerate((2, 0)):
            long.reserve(target + 1)
            long.write(target, short.read(source, 60))
        logits = decoder.feed(long, [ids[2][60:], ids[0][60:90]], [60, 60], [1, 1])
        expected = [MODEL(torch.tensor([row])).logits[0, -1] for row in (ids[2], ids[0][:90])]
    torch.testing.assert_close(logits, torch.stack(expected))


def test_storage_follows_the_rows_in_play() -> None:
    assert [band.capacity for band in make_bands(2048)] == [256, 512, 1024, 2048]
    assert [band.capacity for band in make_bands(100)] == [100]
    cache = RowCache(50)
    for rows in [*range(1, 41), *range(39, 0, -1)]:
        cache.reserve(rows)
        assert rows * 51 <= cache.positions_held() <= 2 * rows * 51


def test_the_phrase_book_knows_what_was_said_last() -> None:
    book = PhraseBook({9})
    book.learn([1, 2, 3, 4, 5, 6, 9, 7], 0)
    assert book.guess([0, 0, 1, 2, 3]) == [4, 5, 6, 9]
    assert book.guess([3, 2, 1]) == []
    book.learn([1, 2, 3, 8], 3)
    assert book.guess([0, 0, 1, 2, 3]) == [8]
    assert book.guess([]) == []


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
        assert t.extra["seconds"] > 0
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


def test_processes_change_nothing() -> None:
    alone = play(MODEL, RENDERER, FakeEnv, TASKS, SETTINGS)
    seen: list[int] = []
    shared = play_parallel(MODEL, RENDERER, FakeEnv, TASKS, SETTINGS, 2, lambda episode: seen.append(episode.task))
    assert record(shared) == record(alone)
    assert sorted(seen) == TASKS


def test_a_process_that_fails_is_reported() -> None:
    def broken() -> TextEnv:
        raise RuntimeError("no environment here")

    with pytest.raises(MachineError, match="no environment here"):
        play_parallel(MODEL, RENDERER, broken, TASKS, SETTINGS, 2)


def test_a_process_that_is_killed_is_reported() -> None:
    def deadly() -> TextEnv:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    with pytest.raises(MachineError, match="rollout process died"):
        play_parallel(MODEL, RENDERER, deadly, TASKS, SETTINGS, 2)
