"""Cross-entropy: `-weight * logp`, summed by the engine."""

from __future__ import annotations

import math

import pytest
import torch
from mint_runtime.losses.cross_entropy import cross_entropy
from support.losses import central_difference, gradient_of, loss_inputs

# float32 holds seven digits; the values here are of order 1.
TOLERANCE = 1e-6


def test_loss_is_the_negated_weighted_log_probability_of_each_target():
    inputs = loss_inputs([math.log(0.5), math.log(0.25)], weights=[1.0, 2.0])

    loss = cross_entropy(inputs, {}).loss_NK

    assert loss[:, 0].tolist() == pytest.approx([0.6931472, 2.7725887], abs=TOLERANCE)


def test_gradient_is_the_negated_weight_whatever_its_sign_and_size():
    inputs = loss_inputs([-1.0, -2.0, -3.0], weights=[-0.5, 100.0, 1e-4])

    assert gradient_of(cross_entropy(inputs, {}).loss_NK, inputs) == pytest.approx(
        [0.5, -100.0, -1e-4], rel=TOLERANCE
    )


def test_missing_weights_count_every_target_once():
    inputs = loss_inputs([-1.0, -2.0])

    result = cross_entropy(inputs, {})

    assert result.loss_NK[:, 0].tolist() == [1.0, 2.0]
    assert result.sums["tokens"] == 2


def test_zero_weight_masks_even_an_impossible_target():
    inputs = loss_inputs([-math.inf, -2.0], weights=[0.0, 1.0])

    result = cross_entropy(inputs, {})

    assert result.loss_NK[:, 0].tolist() == [0.0, 2.0]
    assert gradient_of(result.loss_NK, inputs) == [0.0, -1.0]


def test_sums_count_weighted_targets_and_their_weight():
    result = cross_entropy(loss_inputs([-1.0, -1.0, -1.0], weights=[0.0, -0.25, 1.0]), {})

    assert {name: float(value) for name, value in result.sums.items()} == {
        "tokens": 2.0,
        "weights": 0.75,
    }


def test_soft_targets_of_a_position_are_independent_terms():
    logp = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]])
    weights = torch.tensor([[0.75, 0.25], [0.0, 1.0]])

    loss = cross_entropy(loss_inputs(logp, weights=weights), {}).loss_NK

    assert loss.tolist() == [[0.75, 0.5], [0.0, 4.0]]


def test_loss_and_gradient_equal_a_plain_python_reference():
    logp, weights = [-0.3, -7.5, -1e-3, -20.0], [1.5, -0.25, 0.0, 3.0]

    def reference(values: list[float]) -> float:
        return -sum(value * weight for value, weight in zip(values, weights, strict=True))

    inputs = loss_inputs(logp, weights=weights)
    loss = cross_entropy(inputs, {}).loss_NK

    assert float(loss.sum().detach()) == pytest.approx(reference(logp), rel=TOLERANCE)
    assert gradient_of(loss, inputs) == pytest.approx(
        central_difference(reference, logp), rel=1e-5, abs=1e-8
    )


def test_extreme_log_probabilities_stay_finite():
    loss = cross_entropy(loss_inputs([-1e30], weights=[1e5]), {}).loss_NK

    assert loss.item() == pytest.approx(1e35, rel=TOLERANCE)
