"""Drafts, shared prefixes and bands save passes, and change no episode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.rollouts.world import MODEL, RENDERER, SETTINGS, TASKS, FakeEnv, record

from depo_lightning.rollouts import bands, engine, play
from depo_lightning.rollouts.bands import make_bands
from depo_lightning.rollouts.cache import RowCache
from depo_lightning.rollouts.decoder import Decoder
from depo_lightning.rollouts.drafts import PhraseBook
from depo_lightning.trajectory import Status, Trajectory


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


@pytest.mark.parametrize("batch_size", [2, 7, 32])
def test_a_row_may_change_its_band_before_its_first_pass(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, batch_size=batch_size)
    plain = play(MODEL, RENDERER, FakeEnv, TASKS, settings)
    monkeypatch.setattr(engine, "_PREFIX", 10**6)  # a new row has nothing stored
    monkeypatch.setattr(bands, "_SHORTEST", 8)  # so that a prompt fits into a band and its draft does not
    assert record(play(MODEL, RENDERER, FakeEnv, TASKS, settings, drafts=plain)) == record(plain)


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
