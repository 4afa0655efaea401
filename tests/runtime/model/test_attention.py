"""Packed attention against the attention of torch on one sequence at a time."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.model.attention import CausalPlan
from torch.nn import functional

HEADS, KV_HEADS, WIDTH = 4, 2, 8
# Two kernels for one formula, in float32.
TOLERANCE = 1e-5


def rows(num_rows, num_heads, seed):
    """Return random rows laid out as the model code lays them out: heads first in memory."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_heads, num_rows, WIDTH, generator=generator).transpose(0, 1)


def expected_of(q, k, v, lengths, window):
    """Attend within each sequence under an explicit mask."""
    parts = []
    for q_T, k_T, v_T in zip(*(x.split(lengths) for x in (q, k, v)), strict=True):
        place = torch.arange(len(q_T))
        distance = place[:, None] - place[None, :]
        visible = (distance >= 0) & (distance < (window or len(q_T)))
        out = functional.scaled_dot_product_attention(
            *(x.transpose(0, 1) for x in (q_T, k_T, v_T)),
            attn_mask=visible,
            scale=0.3,
            enable_gqa=True,
        )
        parts.append(out.transpose(0, 1))
    return torch.cat(parts)


@pytest.mark.parametrize("kernel", ["of the CPU", "by run"])
@pytest.mark.parametrize("window", [None, 3, 100], ids=["full", "narrow window", "wide window"])
@pytest.mark.parametrize("lengths", [(7,), (1, 1, 1), (3, 3, 5, 1, 5, 5), (40, 2)], ids=str)
def test_output_and_gradients_equal_masked_attention_of_each_sequence(lengths, window, kernel):
    total = sum(lengths)
    inputs = [rows(total, n, seed) for seed, n in enumerate((HEADS, KV_HEADS, KV_HEADS))]
    ours = [x.clone().requires_grad_() for x in inputs]
    theirs = [x.clone().requires_grad_() for x in inputs]
    slopes = rows(total, HEADS, 9)

    plan = CausalPlan(lengths, torch.device("cpu"))
    if kernel == "by run":
        found = plan._attend_by_run(*ours, 0.3, window)
    else:
        found = plan.attend(0, *ours, scale=0.3, window=window)
    expected = expected_of(*theirs, list(lengths), window)

    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)
    (found * slopes).sum().backward()
    (expected * slopes).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=TOLERANCE, rtol=1e-4)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_sequence_is_computed_alike_wherever_it_lies(place):
    lengths = [6, 9, 4]
    lengths.insert(place, 5)
    inputs = [rows(24, n, seed) for seed, n in enumerate((HEADS, KV_HEADS, KV_HEADS))]
    start = sum(lengths[:place])
    alone = [x[start : start + 5] for x in inputs]

    together = CausalPlan(lengths, torch.device("cpu")).attend(0, *inputs, scale=1.0, window=None)
    expected = CausalPlan((5,), torch.device("cpu")).attend(0, *alone, scale=1.0, window=None)

    assert torch.equal(together[start : start + 5], expected)
