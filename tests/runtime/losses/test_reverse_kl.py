"""Reverse KL over the vocabulary: value, closed-form derivative, weights, memory."""

from __future__ import annotations

import math

import pytest
import torch
from mint_runtime.errors import UserError
from mint_runtime.losses import reverse_kl_rows

# float32: sums over the vocabulary and weighted differences of values of order 10.
TOLERANCE = 1e-5


def random_rows(num_rows: int = 5, vocab_size: int = 97, scale: float = 3.0):
    """Return logits of student and reference, and weights of both signs with a 0 among them."""
    generator = torch.Generator().manual_seed(5)
    logits_nV = scale * torch.randn(num_rows, vocab_size, generator=generator)
    reference_nV = scale * torch.randn(num_rows, vocab_size, generator=generator)
    return logits_nV, reference_nV, torch.tensor([1.0, 0.0, -0.5, 2.0, 0.125])[:num_rows]


def exact(logits_nV, reference_nV, weight_n, temperature):
    """Return loss and derivative in float64, the latter by autograd."""
    logits_nV = logits_nV.double().requires_grad_()
    log_p_nV = (logits_nV / temperature).log_softmax(1)
    log_r_nV = (reference_nV.double() / temperature).log_softmax(1)
    loss_n = weight_n.double() * (log_p_nV.exp() * (log_p_nV - log_r_nV)).sum(1)
    (dlogits_nV,) = torch.autograd.grad(loss_n.sum(), logits_nV)
    return loss_n.detach(), dlogits_nV


def test_two_tokens_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0]])
    reference = torch.zeros(1, 2)

    loss, derivative = reverse_kl_rows(logits, reference, torch.tensor([2.0]), 1.0)

    # p = (3/4, 1/4), r = (1/2, 1/2).
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    first = 2 * 0.75 * (math.log(1.5) - divergence)
    assert loss.tolist() == pytest.approx([2 * divergence], abs=TOLERANCE)
    assert derivative[0].tolist() == pytest.approx([first, -first], abs=TOLERANCE)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_loss_and_derivative_equal_float64_autograd(temperature):
    rows = random_rows()
    loss_n, dlogits_nV = exact(*rows, temperature)

    found_n, found_nV = reverse_kl_rows(rows[0].clone(), rows[1].clone(), rows[2], temperature)

    assert (found_n - loss_n).abs().max() < TOLERANCE
    assert (found_nV - dlogits_nV).abs().max() < TOLERANCE


def test_equal_distributions_cost_nothing_and_pull_nowhere():
    logits_nV, _, weight_n = random_rows()

    loss_n, dlogits_nV = reverse_kl_rows(logits_nV.clone(), logits_nV + 7.0, weight_n, 1.0)

    assert loss_n.abs().max() < TOLERANCE
    assert dlogits_nV.abs().max() < TOLERANCE


def test_derivative_of_a_row_sums_to_0():
    logits_nV, reference_nV, weight_n = random_rows()

    _, dlogits_nV = reverse_kl_rows(logits_nV, reference_nV, weight_n, 1.3)

    assert dlogits_nV.sum(1).abs().max() < TOLERANCE


@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf, 1e38])
def test_row_of_weight_0_is_exactly_0_whatever_it_holds(junk):
    logits_nV, reference_nV, weight_n = random_rows()
    logits_nV[1], reference_nV[1] = junk, junk

    loss_n, dlogits_nV = reverse_kl_rows(logits_nV, reference_nV, weight_n, 1.0)

    assert loss_n[1] == 0.0
    assert (dlogits_nV[1] == 0.0).all()
    assert loss_n.isfinite().all()
    assert dlogits_nV.isfinite().all()


def test_rows_do_not_depend_on_each_other():
    logits_nV, reference_nV, weight_n = random_rows()
    alone = [
        reverse_kl_rows(logits_nV[at : at + 1].clone(), reference_nV[at : at + 1].clone(), one, 1.0)
        for at, one in enumerate(weight_n.split(1))
    ]

    loss_n, dlogits_nV = reverse_kl_rows(logits_nV, reference_nV, weight_n, 1.0)

    assert torch.equal(loss_n, torch.cat([one[0] for one in alone]))
    assert torch.equal(dlogits_nV, torch.cat([one[1] for one in alone]))


@pytest.mark.parametrize("both", [True, False])
def test_token_the_student_cannot_draw_costs_nothing(both):
    logits = torch.tensor([[0.0, 0.0, -math.inf]])
    reference = torch.tensor([[0.0, 0.0, -math.inf if both else 0.0]])

    loss, derivative = reverse_kl_rows(logits, reference, torch.ones(1), 1.0)

    assert loss.tolist() == pytest.approx([0.0 if both else math.log(1.5)], abs=TOLERANCE)
    assert derivative[0].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=TOLERANCE)


def test_token_only_the_reference_cannot_draw_costs_infinitely_much():
    logits = torch.zeros(1, 2)
    reference = torch.tensor([[0.0, -math.inf]])

    loss, _ = reverse_kl_rows(logits, reference, torch.ones(1), 1.0)

    assert loss.tolist() == [math.inf]


def test_far_apart_distributions_stay_finite():
    logits = torch.tensor([[200.0, -200.0]])
    reference = torch.tensor([[-200.0, 200.0]])

    loss, derivative = reverse_kl_rows(logits, reference, torch.ones(1), 1.0)

    assert loss.tolist() == pytest.approx([400.0], rel=TOLERANCE)
    assert derivative.tolist() == [[0.0, 0.0]]


def test_float32_derivative_lies_in_the_memory_of_the_logits():
    logits_nV, reference_nV, weight_n = random_rows()

    _, dlogits_nV = reverse_kl_rows(logits_nV, reference_nV, weight_n, 1.0)

    assert dlogits_nV.data_ptr() == logits_nV.data_ptr()


def test_bfloat16_is_computed_in_float32_and_left_as_it_was():
    logits_nV, reference_nV, weight_n = (row.bfloat16() for row in random_rows())
    before_nV = logits_nV.clone()
    loss_n, dlogits_nV = exact(logits_nV, reference_nV, weight_n, 1.0)

    found_n, found_nV = reverse_kl_rows(logits_nV, reference_nV, weight_n, 1.0)

    assert found_n.dtype == found_nV.dtype == torch.float32
    assert torch.equal(logits_nV, before_nV)
    assert (found_n - loss_n).abs().max() < TOLERANCE
    assert (found_nV - dlogits_nV).abs().max() < TOLERANCE


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(UserError, match=f"`temperature` is {temperature:g}; it must be a positive"):
        reverse_kl_rows(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1), temperature)
