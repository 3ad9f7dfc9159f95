"""Log-probabilities of the model: one pass over an episode against every step padded out on its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from transformers import LlamaForCausalLM

from depo_lightning.data import PreferenceData, PreferenceSample, compute_reference
from depo_lightning.errors import ConfigError
from depo_lightning.modules import TokenBatch, check_policy, policy_logps


def step_by_step(model: LlamaForCausalLM, sample: PreferenceSample) -> list[float]:
    """Each step as its own sequence, left-padded with an attention mask, through the model's own logits."""
    result = []
    for start, end in sample.spans:
        padding = 5
        ids = torch.tensor([[7] * padding + sample.input_ids[:end]])
        mask = torch.tensor([[0] * padding + [1] * end])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[0, padding:]
        logps = logits.log_softmax(-1)
        result.append(sum(logps[t - 1, sample.input_ids[t]].item() for t in range(start, end)))
    return result


def test_one_pass_equals_every_step_on_its_own(model: LlamaForCausalLM, samples: list[PreferenceSample]) -> None:
    batch = PreferenceData(samples).steps.batch(np.arange(12))
    expected = [value for sample in samples for value in step_by_step(model, sample)]
    assert policy_logps(model, batch).tolist() == pytest.approx(expected, abs=2e-4)


def test_padding_and_neighbours_change_nothing(model: LlamaForCausalLM, samples: list[PreferenceSample]) -> None:
    batch = PreferenceData(samples).steps.batch(np.arange(12))
    wider = TokenBatch(
        torch.nn.functional.pad(batch.input_ids, (0, 9), value=33),
        torch.nn.functional.pad(batch.segments, (0, 9), value=-1),
        batch.count,
    )
    assert torch.allclose(policy_logps(model, batch), policy_logps(model, wider), atol=1e-4)


def test_prompt_tokens_get_no_loss_but_are_read(model: LlamaForCausalLM) -> None:
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    segments = torch.tensor([[-1, -1, 0, 0, -1]])
    value = policy_logps(model, TokenBatch(ids, segments, 1))
    after, before = ids.clone(), ids.clone()
    after[0, 4], before[0, 0] = 9, 9
    assert torch.equal(policy_logps(model, TokenBatch(after, segments, 1)), value)
    assert not torch.equal(policy_logps(model, TokenBatch(before, segments, 1)), value)


def test_lora_gets_the_gradient_and_starts_as_the_bare_model(
    model: LlamaForCausalLM, samples: list[PreferenceSample]
) -> None:
    batch = PreferenceData(samples).steps.batch(np.arange(12))
    bare = policy_logps(model, batch).detach()
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
    check_policy(wrapped)
    logps = policy_logps(wrapped, batch)
    assert torch.allclose(logps, bare)
    logps.sum().backward()
    trainable = {name: p for name, p in wrapped.named_parameters() if p.requires_grad}
    # LoRA's B starts at 0, so at first only B has a gradient other than 0
    assert all(p.grad is not None and p.grad.abs().max() > 0 for name, p in trainable.items() if "lora_B" in name)
    assert len([name for name in trainable if "lora_B" in name]) == 14
    assert all(p.grad is None for name, p in wrapped.named_parameters() if name not in trainable)


def test_models_that_would_be_scored_wrongly_are_refused(model: LlamaForCausalLM) -> None:
    check_policy(model)
    wrapped = get_peft_model(model, PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"))
    with pytest.raises(ConfigError, match="learns prompts"):
        check_policy(wrapped)
    model.config.final_logit_softcapping = 30.0
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match=r"final_logit_softcapping=30\.0") as caught:
        check_policy(model)
    assert len(caught.value.faults) == 2


def test_reference_pass_scores_every_step_and_pair(model: LlamaForCausalLM, samples: list[PreferenceSample]) -> None:
    data = PreferenceData(samples, kl_pairs=2, seed=3)
    model.train()
    counted: list[int] = []
    reference = compute_reference(model, data, batch_tokens=60, progress=counted.append)
    assert model.training
    assert sum(counted) == data.steps.counts.sum() + len(data.pairs)
    assert len(counted) > 4
    for index, sample in enumerate(samples):
        assert reference.steps[sample.id] == pytest.approx(step_by_step(model, sample), abs=2e-4)
        pairs = policy_logps(model, data.pairs.batch([2 * index, 2 * index + 1])).tolist()
        assert reference.pairs[sample.id] == pytest.approx(pairs, abs=2e-4)
