"""Importance sampling: `-exp(logp - logprobs) * advantage`."""

from __future__ import annotations

import math

import pytest
from mint_runtime.losses.importance_sampling import importance_sampling
from support.losses import central_difference, gradient_of, loss_inputs

TOLERANCE = 1e-5  # float32 through one exponential


def test_loss_and_gradient_are_the_negated_ratio_times_advantage():
    inputs = loss_inputs(
        [math.log(0.3), math.log(0.1)],
        logprobs=[math.log(0.2), math.log(0.2)],
        advantages=[1.0, -2.0],
    )

    loss = importance_sampling(inputs, {}).loss_NK

    # Ratios 1.5 and 0.5; the derivative of r * A by logp is r * A again.
    assert loss[:, 0].tolist() == pytest.approx([-1.5, 1.0], abs=TOLERANCE)
    assert gradient_of(loss, inputs) == pytest.approx([-1.5, 1.0], abs=TOLERANCE)


def test_zero_advantage_masks_a_ratio_that_overflows():
    inputs = loss_inputs([0.0, -1.0], logprobs=[-200.0, -1.0], advantages=[0.0, 1.0])

    result = importance_sampling(inputs, {})

    assert result.loss_NK[:, 0].tolist() == [0.0, -1.0]
    assert gradient_of(result.loss_NK, inputs) == [0.0, -1.0]
    assert float(result.sums["tokens"]) == 1.0
    assert float(result.sums["ratio"]) == 1.0


def test_weights_multiply_where_they_are_sent():
    inputs = loss_inputs([-1.0, -1.0], logprobs=[-1.0, -1.0], advantages=[3.0, 3.0], weights=[0, 2])

    assert importance_sampling(inputs, {}).loss_NK[:, 0].tolist() == [0.0, -6.0]


def test_zero_weight_masks_a_ratio_that_overflows():
    inputs = loss_inputs([0.0], logprobs=[-200.0], advantages=[1.0], weights=[0.0])

    loss = importance_sampling(inputs, {}).loss_NK

    assert loss.item() == 0.0
    assert gradient_of(loss, inputs) == [0.0]


def test_loss_and_gradient_equal_a_plain_python_reference():
    logp, old, advantages = [-0.3, -2.0, -5.0], [-0.5, -1.0, -4.0], [0.7, -1.2, 3.0]

    def reference(values: list[float]) -> float:
        terms = zip(values, old, advantages, strict=True)
        return -sum(math.exp(value - before) * gain for value, before, gain in terms)

    inputs = loss_inputs(logp, logprobs=old, advantages=advantages)
    loss = importance_sampling(inputs, {}).loss_NK

    assert float(loss.sum().detach()) == pytest.approx(reference(logp), rel=TOLERANCE)
    assert gradient_of(loss, inputs) == pytest.approx(
        central_difference(reference, logp), rel=TOLERANCE
    )
