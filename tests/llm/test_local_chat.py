import asyncio
import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from depo_lightning.agents.account import Account, Budget
from depo_lightning.agents.local_chat import LocalChat, LocalSettings
from depo_lightning.agents.seeded_sampling import SeededSampling
from depo_lightning.errors import ConfigError, MachineError
from depo_lightning.models import TinySettings, build_tiny, fit_tokenizer

TEXT = "You see a red ball and a blue box. Thought: I go there. Action: go to red ball 1"
QUESTIONS = [[{"role": "user", "content": text}] for text in ("a red ball", "blue box and a red ball. I go", "go")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("model")
    tokenizer = fit_tokenizer([TEXT] * 5, [], 300)
    model = build_tiny(TinySettings(hidden=32, layers=1, ff=32, heads=2), tokenizer, seed=0)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return str(target)


def ask(folder, count=2, seed=3, account=None, **settings):
    chat = LocalChat(
        LocalSettings(folder, device="cpu", max_tokens=6, **settings), account or Account("teacher", "tiny")
    )

    async def main():
        async with chat:
            return await asyncio.gather(*(chat.ask(question, count, seed) for question in QUESTIONS))

    return asyncio.run(main()), chat


def test_answers_depend_on_the_seed_not_on_the_batch(folder):
    together, chat = ask(folder, batch_size=6)
    alone, _ = ask(folder, batch_size=1)
    assert together == alone
    assert together != ask(folder, seed=4, batch_size=6)[0]
    assert all(reply.answers[0] != reply.answers[1] for reply in together)
    assert chat.account.usage.completion_tokens == sum(reply.usage.completion_tokens for reply in together) > 0
    assert chat.account.usage.calls == 6


def test_temperature_zero_is_greedy(folder):
    replies, _ = ask(folder, temperature=0.0)
    assert all(reply.answers[0] == reply.answers[1] for reply in replies)


def test_the_noise_draws_from_the_distribution():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(4000, 1)
    for temperature, top_p, kept in ((1.0, 1.0, 4), (0.5, 1.0, 4), (1.0, 0.8, 2)):
        drawn = SeededSampling(range(4000), temperature, top_p)(torch.zeros(4000, 1), logits).argmax(-1)
        wanted = (logits[0] / temperature).softmax(-1)
        wanted = torch.where(wanted >= wanted.topk(kept).values.min(), wanted, 0.0)
        share = torch.bincount(drawn, minlength=4) / 4000
        assert torch.allclose(share, wanted / wanted.sum(), atol=0.03)


def test_a_model_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match=r"teacher\.model='.*nowhere': cannot be loaded; give a directory"):
        ask(str(tmp_path / "nowhere"))


def test_a_model_that_cannot_be_read_or_does_not_fit(folder, monkeypatch):
    class Large:
        def to(self, device):
            raise torch.OutOfMemoryError("CUDA out of memory")

    def lacks_a_package(*_, **__):
        raise ImportError("this tokenizer needs the package sentencepiece")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_, **__: Large())
    with pytest.raises(MachineError, match=r"teacher: cpu has not enough memory for .*teacher\.dtype=bfloat16"):
        ask(folder)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lacks_a_package)
    with pytest.raises(ConfigError, match=r"teacher\.model=.*needs the package sentencepiece"):
        ask(folder)


def test_the_budget_holds_here_too(folder):
    account = Account("teacher", "tiny", budget=Budget(tokens=1))
    ask(folder, account=account)
    with pytest.raises(MachineError, match="the budget is 1"):
        ask(folder, account=account)


def test_a_conversation_without_room_for_an_answer_is_refused(folder, tmp_path):
    short = tmp_path / "short"
    shutil.copytree(folder, short)
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 40}))
    long = [{"role": "user", "content": TEXT * 9}]
    chat = LocalChat(LocalSettings(str(short), device="cpu", max_tokens=6), Account("teacher", "tiny"))

    async def main():
        async with chat:
            return await chat.ask(long, 2, 3), await chat.ask(QUESTIONS[2], 1, 3)

    refused, answered = asyncio.run(main())
    assert refused.answers == ()
    assert "more than the 40 positions" in refused.refused
    assert len(answered.answers) == 1
    assert (chat.account.refused, chat.account.requests) == (1, 1)
    assert "search.max_depth" in "".join(chat.account.lines())


def test_a_gguf_file_brings_the_tokenizer_that_its_model_was_trained_with(folder, monkeypatch):
    """The weights are those of the directory: only where the tokenizer comes from is of interest."""
    asked = []

    def tokenizer(path):
        asked.append(path)
        return AutoTokenizer.from_pretrained(folder)

    monkeypatch.setattr("depo_lightning.models.gguf.load_gguf_tokenizer", tokenizer)
    plain = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda name, gguf_file, dtype: plain(name))
    replies, _ = ask(folder, gguf_file="tiny.gguf")
    assert asked == [Path(folder) / "tiny.gguf"]
    assert len(replies) == 3
