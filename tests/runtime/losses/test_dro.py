"""DRO: `-(logp * advantage - beta / 2 * (logp - logprobs)^2)`."""

from __future__ import annotations

import pytest
from mint_runtime.losses.dro import LOSS, dro
from support.losses import central_difference, gradient_of, loss_inputs

TOLERANCE = 1e-6  # float32 without an exponential


def test_loss_and_gradient_on_hand_numbers():
    inputs = loss_inputs([-1.0, -3.0], logprobs=[-2.0, -1.0], advantages=[2.0, -1.0])

    result = dro(inputs, {"beta": 0.5})

    # -(-2 - 0.25 * 1) and -(3 - 0.25 * 4); derivatives -(2 - 0.5 * 1) and -(-1 + 0.5 * 2).
    assert result.loss_NK[:, 0].tolist() == pytest.approx([2.25, -2.0], abs=TOLERANCE)
    assert gradient_of(result.loss_NK, inputs) == pytest.approx([-1.5, 0.0], abs=TOLERANCE)
    assert float(result.sums["squared_log_ratio"]) == pytest.approx(5.0, abs=TOLERANCE)


def test_target_without_advantage_is_still_pulled_to_the_sampling_policy():
    inputs = loss_inputs([-1.0], logprobs=[-3.0], advantages=[0.0])

    loss = dro(inputs, LOSS.config).loss_NK

    assert loss.item() == pytest.approx(0.5 * 0.05 * 4, abs=TOLERANCE)
    assert gradient_of(loss, inputs) == pytest.approx([0.05 * 2], abs=TOLERANCE)


def test_weight_0_takes_a_prompt_with_padded_log_probabilities_out():
    inputs = loss_inputs(
        [-9.0, -1.0], logprobs=[0.0, -1.0], advantages=[0.0, 1.0], weights=[0.0, 1.0]
    )

    result = dro(inputs, LOSS.config)

    assert result.loss_NK[:, 0].tolist() == [0.0, 1.0]
    assert gradient_of(result.loss_NK, inputs) == [0.0, -1.0]
    assert float(result.sums["tokens"]) == 1.0
    assert float(result.sums["squared_log_ratio"]) == 0.0


def test_weights_multiply_both_terms():
    values = {"logprobs": [-2.0], "advantages": [1.0]}
    once = dro(loss_inputs([-1.0], **values), LOSS.config).loss_NK

    thrice = dro(loss_inputs([-1.0], weights=[3.0], **values), LOSS.config).loss_NK

    assert thrice.item() == pytest.approx(3 * once.item(), rel=TOLERANCE)


def test_beta_0_is_plain_policy_gradient():
    inputs = loss_inputs([-1.0], logprobs=[-200.0], advantages=[2.0])

    loss = dro(inputs, {"beta": 0.0}).loss_NK

    assert loss.item() == 2.0
    assert gradient_of(loss, inputs) == [-2.0]


def test_large_log_ratio_stays_finite():
    inputs = loss_inputs([-201.0, -1.0], logprobs=[-1.0, -201.0], advantages=[0.0, 0.0])

    loss = dro(inputs, LOSS.config).loss_NK

    assert loss[:, 0].tolist() == pytest.approx([1000.0, 1000.0], rel=TOLERANCE)
    assert gradient_of(loss, inputs) == pytest.approx([-10.0, 10.0], rel=TOLERANCE)


def test_gradient_equals_a_central_difference():
    logp, old, advantages = [-0.3, -2.0, -5.0], [-0.5, -1.0, -4.0], [0.7, -1.2, 3.0]

    def reference(values: list[float]) -> float:
        terms = zip(values, old, advantages, strict=True)
        return -sum(new * gain - 0.025 * (new - before) ** 2 for new, before, gain in terms)

    inputs = loss_inputs(logp, logprobs=old, advantages=advantages)

    assert gradient_of(dro(inputs, LOSS.config).loss_NK, inputs) == pytest.approx(
        central_difference(reference, logp), rel=1e-5
    )
