"""Prefix sharing against plain padding: the same log-probabilities and gradients over random trees of sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from depo_lightning.data import Packing, PreferenceData, PreferenceSample
from depo_lightning.data.packing import Branch, pack
from depo_lightning.errors import ConfigError
from depo_lightning.modules import Compute, PackedBatch, attention, passes, policy_logps
from depo_lightning.modules.attention import supports_packing
from depo_lightning.modules.packed import visible
from depo_lightning.modules.passes import packed_logps
from depo_lightning.objectives import logps as logps_module
from depo_lightning.objectives.logps import token_logps

VOCABULARY = 40
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}


def llama(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPE, **changes))


def with_lora(model: Any) -> Any:
    torch.manual_seed(1)
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:  # which starts at 0, and would hide the gradient of A
            torch.nn.init.normal_(parameter, std=0.05)
    return wrapped


def in_precision(model: Any, dtype: torch.dtype) -> Any:
    """The model in `dtype` throughout: norms of `transformers` always compute in float32."""
    for name, module in list(model.named_modules()):
        if name.endswith("norm"):
            exact = torch.nn.RMSNorm(module.weight.shape, eps=module.variance_epsilon)
            exact.weight = module.weight
            model.get_submodule(name.rpartition(".")[0]).register_module(name.rpartition(".")[2], exact)
    return model.to(dtype).train()


MODELS: dict[str, Callable[[], Any]] = {
    "llama, all weights, tied": lambda: llama(tie_word_embeddings=True),
    "llama, LoRA": lambda: with_lora(llama()),
    "qwen2, LoRA": lambda: with_lora(Qwen2ForCausalLM(Qwen2Config(**SHAPE))),
}


def tree(rng: np.random.Generator, name: str, system: list[int]) -> list[PreferenceSample]:
    """Episodes of one search: each goes on from a random turn of an earlier one, or from the task's prompt."""
    start = system + rng.integers(0, VOCABULARY, rng.integers(18, 30)).tolist()
    states: list[tuple[list[int], list[tuple[int, int]]]] = [(start, [])]
    samples = []
    for index in range(rng.integers(1, 6)):
        ids, spans = states[rng.integers(len(states))]
        ids, spans = list(ids), list(spans)
        for _ in range(rng.integers(1, 4)):
            begin = len(ids)
            ids += rng.integers(0, VOCABULARY, rng.integers(1, 9)).tolist()
            spans = [*spans, (begin, len(ids))]
            ids += rng.integers(0, VOCABULARY, rng.integers(2, 20)).tolist()
            states.append((list(ids), list(spans)))
        samples.append(PreferenceSample(f"{name}-{index}", ids, spans, bool(rng.integers(2)), name))
    return samples


def forest(seed: int) -> PreferenceData:
    rng = np.random.default_rng(seed)
    system = rng.integers(0, VOCABULARY, 25).tolist()
    samples = [sample for index in range(5) for sample in tree(rng, f"task {index}", system if index < 3 else [])]
    samples[0], samples[-1] = replace(samples[0], desirable=True), replace(samples[-1], desirable=False)
    return PreferenceData(samples, kl_pairs=2, seed=seed)


def padded(model: Any, data: PreferenceData) -> tuple[torch.Tensor, torch.Tensor]:
    everything = np.arange(len(data.samples))
    with torch.no_grad():
        pairs = policy_logps(model, data.pairs.batch(np.arange(len(data.pairs))))
    return policy_logps(model, data.steps.batch(everything)), pairs


def packed(data: PreferenceData, packing: Packing) -> PackedBatch:
    everything = np.arange(len(data.samples))
    return data.steps.packed(everything, packing, data.branches(everything))


def gradients(model: Any, logps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of a sum in which every segment has a weight of its own."""
    weights = torch.linspace(-1, 1, len(logps), dtype=logps.dtype)
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if p.requires_grad), strict=True)
    return dict(zip(names, torch.autograd.grad((weights * logps).sum(), parameters), strict=True))


def worst(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Largest relative error of a parameter's gradient."""
    return max(float((found[name] - expected[name]).norm() / expected[name].norm()) for name in expected)


COMPUTE = [(Compute(), False), (Compute(threads=3), False), (Compute(), True), (Compute(threads=2), True)]


PACKINGS = [Packing(100_000), Packing(150, threads=2), Packing(1)]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_sharing_prefixes_changes_neither_log_probabilities_nor_gradients(
    name: str, dtype: torch.dtype, tolerance: float
) -> None:
    model = in_precision(MODELS[name](), dtype)
    ways = list(product(PACKINGS, COMPUTE))
    thorough = ways if dtype == torch.float64 else ways[2::5]
    for seed, tried in enumerate((thorough, ways[1::5], ways[3::5])):  # every way on one forest, some on two more
        data = forest(seed)
        model.gradient_checkpointing_disable()
        expected, pairs = padded(model, data)
        slopes = gradients(model, expected)
        for packing, (compute, checkpointing) in tried:
            if checkpointing:
                model.gradient_checkpointing_enable({"use_reentrant": False})
            else:
                model.gradient_checkpointing_disable()
            logps, branches = packed_logps(model, packed(data, packing), compute)
            assert torch.allclose(logps, expected, rtol=tolerance, atol=tolerance)
            assert torch.allclose(branches, pairs, rtol=tolerance, atol=tolerance)
            assert not branches.requires_grad
            assert worst(gradients(model, logps), slopes) < tolerance


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_gpus_kernels_are_asked_for_the_same(name: str, checkpointing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = set()

    def watched(query: torch.Tensor, key: torch.Tensor, *others: Any, **options: Any) -> torch.Tensor:
        asked.add((options["attn_mask"] is not None, options["enable_gqa"], options["is_causal"]))
        return scaled_dot_product_attention(query, key, *others, **options)

    model, data = in_precision(MODELS[name](), torch.float64), forest(0)
    expected, pairs = padded(model, data)
    slopes = gradients(model, expected)
    monkeypatch.setattr(attention, "_on_cpu", lambda states: False)
    monkeypatch.setattr(attention, "scaled_dot_product_attention", watched)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    logps, branches = packed_logps(model, packed(data, Packing()))
    assert torch.allclose(logps, expected, rtol=1e-9, atol=1e-9)
    assert torch.allclose(branches, pairs, rtol=1e-9, atol=1e-9)
    assert worst(gradients(model, logps), slopes) < 1e-9
    # (mask, grouped heads, causal): with a mask and grouped heads, only the slow kernel is left
    assert asked == {(True, False, False), (False, True, True), (False, True, False)}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_on_a_cpu_attention_stays_out_of_autocast(checkpointing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes = []

    def watched(*states: torch.Tensor, **options: Any) -> torch.Tensor:
        result = scaled_dot_product_attention(*states, **options)
        dtypes.append({result.dtype, *(part.dtype for part in states)})
        return result

    model, data = with_lora(llama()).train(), forest(0)
    expected, _ = padded(model, data)
    slopes = gradients(model, expected)
    monkeypatch.setattr(attention, "scaled_dot_product_attention", watched)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with torch.autocast("cpu", torch.bfloat16):
        logps, _ = packed_logps(model, packed(data, Packing()))
    found = gradients(model, logps)
    assert all(kinds == {torch.float32} for kinds in dtypes)
    assert torch.allclose(logps, expected, rtol=0.02)
    assert 1e-5 < worst(found, slopes) < 0.1  # linear layers compute in 16 bits


def test_values_may_be_narrower_than_keys() -> None:
    widths = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 6}
    dense = DeepseekV3Config(**{**SHAPE, "num_key_value_heads": 4, **widths, "first_k_dense_replace": 2})
    model, data = DeepseekV3ForCausalLM(dense), forest(0)
    assert supports_packing(model)
    expected, _ = padded(model, data)
    slopes = gradients(model, expected)
    for checkpointing in (False, True):
        if checkpointing:
            model.train().gradient_checkpointing_enable({"use_reentrant": False})
        logps, _ = packed_logps(model, packed(data, Packing(200)))
        assert torch.allclose(logps, expected, rtol=1e-5, atol=1e-5)
        assert worst(gradients(model, logps), slopes) < 1e-5


def test_a_pieced_head_gives_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    data = forest(0)
    for name in MODELS:
        model = in_precision(MODELS[name](), torch.float64)
        expected = gradients(model, padded(model, data)[0])
        monkeypatch.setattr(logps_module.token_logps, "__defaults__", (3 * VOCABULARY,))
        logps, _ = packed_logps(model, packed(data, Packing()))
        assert worst(gradients(model, logps), expected) < 1e-9


def test_flex_attention_sees_the_same_tree() -> None:
    model, data = llama().eval(), forest(1)
    batch = packed(data, Packing(400))
    with torch.no_grad():  # its backward needs a GPU
        expected, found = packed_logps(model, batch), packed_logps(model, batch, Compute(flex=True))
    assert torch.allclose(found[0], expected[0], atol=1e-4)
    assert torch.allclose(found[1], expected[1], atol=1e-4)


def test_threads_give_the_same_bits_every_time() -> None:
    data, model = forest(1), MODELS["llama, LoRA"]().train()
    first, second = (
        gradients(model, packed_logps(model, packed(data, Packing(120, threads=2)), Compute(threads=2))[0])
        for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_branch_costs_its_own_tokens_only() -> None:
    data = forest(2)
    batch = packed(data, Packing())
    alone = data.steps.packed(np.arange(len(data.samples)), Packing())
    assert sum(item.input_ids.shape[1] for item in batch.passes) == sum(i.input_ids.shape[1] for i in alone.passes)
    fed = sum(item.branches.input_ids.shape[1] for item in batch.passes if item.branches is not None)
    assert fed == sum(len(branch.completion) - 1 for branch in data.branches(np.arange(len(data.samples))))


def test_every_distinct_prefix_stands_once() -> None:
    for seed in range(5):
        data = forest(seed)
        fed = [data.steps.row(i)[0][: sample.spans[-1][1] - 1].tolist() for i, sample in enumerate(data.samples)]
        prefixes = {tuple(row[:end]) for row in fed for end in range(1, len(row) + 1)}
        size = sum(item.input_ids.shape[1] for item in packed(data, Packing()).passes)
        assert len(prefixes) <= size < len(prefixes) + 16 * len(fed)  # what is shorter than 16 tokens is not shared
        assert size < 0.7 * sum(map(len, fed))


def test_ranges_and_subtrees_describe_the_same_mask() -> None:
    for seed in range(5):
        for item in packed(forest(seed), Packing(200)).passes:
            size = item.input_ids.shape[1]
            places = torch.arange(size)
            dense = visible(places[:, None], places[None, :], item.exits)
            expected = torch.zeros(size, size, dtype=torch.bool)
            for stretch in item.stretches:
                for start, stop in stretch.prefix:
                    expected[stretch.start : stretch.stop, start:stop] = True
                own = slice(stretch.start, stretch.stop)
                expected[own, own] = torch.ones(stretch.stop - stretch.start, stretch.stop - stretch.start).tril() > 0
            assert torch.equal(dense, expected)
            assert torch.equal(dense.sum(1) - 1, item.positions[0])


def test_passes_keep_to_the_budget_unless_one_sequence_is_longer() -> None:
    data = forest(3)
    longest = int(data.steps.lengths.max())
    for tokens in (1, longest, 2 * longest):
        sizes = [item.input_ids.shape[1] for item in packed(data, Packing(tokens)).passes]
        assert max(sizes) <= max(tokens, longest)
    shared = packed(data, Packing(threads=2)).passes
    assert len(shared) == 2
    assert max(item.cost() for item in shared) < 1.6 * min(item.cost() for item in shared)


def test_identical_sequences_and_turns_of_one_token() -> None:
    ids = np.array([1, 2, 3, 4, 5])
    segments = np.array([-1, -1, 0, -1, 1])
    other = np.where(segments >= 0, segments + 2, -1)
    model = llama().double()
    batch = pack([ids, ids], [segments, other], 4, [Branch(0, 2, np.array([7])), Branch(1, 4, np.array([8, 9]))])
    assert batch.tokens == 4
    assert sum(item.input_ids.shape[1] for item in batch.passes) == 4
    logps, branches = packed_logps(model, batch)
    logits = model(torch.tensor([[1, 2, 3, 4, 5]])).logits[0].log_softmax(-1)
    assert torch.allclose(logps, torch.stack([logits[1, 3], logits[3, 5], logits[1, 3], logits[3, 5]]))
    after = model(torch.tensor([[1, 2, 3, 4, 8]])).logits[0].log_softmax(-1)
    assert torch.allclose(branches, torch.stack([logits[1, 7], logits[3, 8] + after[4, 9]]))


def test_what_packed_attention_cannot_do_is_told() -> None:
    assert supports_packing(llama())
    assert supports_packing(with_lora(llama()))
    assert not supports_packing(llama(attention_dropout=0.1))
    gpt2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4}
    assert not supports_packing(GPT2LMHeadModel(GPT2Config(**gpt2)))
    assert supports_packing(GPT2LMHeadModel(GPT2Config(**gpt2, attn_pdrop=0.0)))
    drops = llama(attention_dropout=0.1)
    packed_logps(drops.eval(), packed(forest(0), Packing()))
    with pytest.raises(ConfigError, match="dropout"):
        packed_logps(drops.train(), packed(forest(0), Packing()))
    gemma = Gemma2Config(**SHAPE, head_dim=8, layer_types=["full_attention"] * 2)
    assert not supports_packing(Gemma2ForCausalLM(gemma))
    with pytest.raises(ConfigError, match="softcap"):
        packed_logps(Gemma2ForCausalLM(gemma), packed(forest(0), Packing()))
    windowed = Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=8, max_window_layers=0)
    assert not supports_packing(Qwen2ForCausalLM(windowed))


def test_no_thread_keeps_a_graph_that_the_caller_does_not_want(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []

    def watched(*args: Any) -> torch.Tensor:
        logps = token_logps(*args)
        kept.append(logps.requires_grad)
        return logps

    monkeypatch.setattr(passes, "token_logps", watched)
    rows = forest(1).steps
    batch = rows.packed(np.arange(len(rows)), Packing(120, threads=2))
    for grad in (False, True):
        kept.clear()
        with torch.set_grad_enabled(grad):
            packed_logps(llama(), batch, Compute(threads=2))
        assert len(kept) > 1
        assert set(kept) == {grad}
