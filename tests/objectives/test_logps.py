"""Masked log-probabilities and length weights against plain Python arithmetic on hand-written rows."""

from __future__ import annotations

import math

import pytest
import torch

from depo_lightning.objectives import bc_loss, completion_logps, segment_logps, sequence_logps, token_weights

IDS = torch.tensor([[3, 1, 4, 1, 5], [2, 0, 2, 0, 0]])
#                     prompt | step 0 | prompt | step 1   and   prompt | step 2, then padding
SEGMENTS = torch.tensor([[-1, 0, 0, -1, 1], [-1, 2, 2, -1, -1]])
PREDICTED = [(0, 0, 1, 0), (0, 1, 4, 0), (0, 3, 5, 1), (1, 0, 0, 2), (1, 1, 2, 2)]  # row, position, target, segment


def hidden_and_head() -> tuple[torch.Tensor, torch.nn.Linear]:
    torch.manual_seed(0)
    return torch.randn(2, 5, 3, dtype=torch.float64), torch.nn.Linear(3, 6, dtype=torch.float64)


def logps_by_hand() -> list[float]:
    hidden, head = hidden_and_head()
    weight, bias = head.weight.tolist(), head.bias.tolist()
    values = []
    for row, position, target, _ in PREDICTED:
        state = hidden[row, position].tolist()
        logits = [
            sum(w * h for w, h in zip(line, state, strict=True)) + b for line, b in zip(weight, bias, strict=True)
        ]
        values.append(logits[target] - math.log(sum(math.exp(logit) for logit in logits)))
    return values


def test_token_logps_match_the_scalar_oracle() -> None:
    hidden, head = hidden_and_head()
    logps, segments = completion_logps(hidden, head, IDS, SEGMENTS)
    assert logps.tolist() == pytest.approx(logps_by_hand(), abs=1e-12)
    assert segments.tolist() == [segment for *_, segment in PREDICTED]


def test_segments_and_bc_loss_sum_and_average_those() -> None:
    hidden, head = hidden_and_head()
    a, b, c, d, e = logps_by_hand()
    assert sequence_logps(hidden, head, IDS, SEGMENTS, 3).tolist() == pytest.approx([a + b, c, d + e], abs=1e-12)
    assert bc_loss(sequence_logps(hidden, head, IDS, SEGMENTS, 3), 5).item() == pytest.approx(-(a + b + c + d + e) / 5)


def test_the_head_sees_agent_tokens_only() -> None:
    hidden, head = hidden_and_head()
    seen = []
    completion_logps(hidden, lambda states: seen.append(tuple(states.shape)) or head(states), IDS, SEGMENTS)
    assert seen == [(5, 3)]


def test_gradcheck() -> None:
    hidden, head = hidden_and_head()
    assert torch.autograd.gradcheck(lambda h: sequence_logps(h, head, IDS, SEGMENTS, 3), hidden.requires_grad_())


def test_half_precision_logits_are_normalised_in_float32() -> None:
    hidden, head = hidden_and_head()
    logps, _ = completion_logps(hidden.bfloat16(), head.bfloat16(), IDS, SEGMENTS)
    assert logps.dtype == torch.float32


def test_a_segment_without_tokens_sums_to_zero() -> None:
    assert segment_logps(torch.tensor([-1.0, -2.0]), torch.tensor([2, 0]), 4).tolist() == [-2.0, 0.0, -1.0, 0.0]


def test_token_weights_are_inverse_lengths_with_mean_one_per_class() -> None:
    tokens, desirable = torch.tensor([10.0, 20.0, 5.0, 50.0]), torch.tensor([True, True, False, False])
    weights = token_weights(tokens, desirable)
    assert weights.tolist() == pytest.approx([4 / 3, 2 / 3, 20 / 11, 2 / 11])
    assert token_weights(tokens[:2], desirable[:2]).tolist() == pytest.approx([4 / 3, 2 / 3])
