"""PPO: the smaller of the free and the clamped surrogate, negated."""

from __future__ import annotations

import math

import pytest
from mint_runtime.losses.ppo import LOSS, ppo
from support.losses import central_difference, gradient_of, loss_inputs

TOLERANCE = 1e-5  # float32 through one exponential


def test_high_ratio_is_clipped_inner_ratio_kept_and_zero_advantage_ignored():
    inputs = loss_inputs(
        [math.log(1.5), math.log(1.1), 500.0], logprobs=[0.0, 0.0, 0.0], advantages=[1.0, 2.0, 0.0]
    )

    result = ppo(inputs, LOSS.config)

    # 1.5 is clipped to 1.2; 1.1 is kept and weighs 2.2; the third target does not count.
    assert float(result.loss_NK.sum().detach()) == pytest.approx(-3.4, abs=TOLERANCE)
    assert gradient_of(result.loss_NK, inputs) == pytest.approx([0.0, -2.2, 0.0], abs=TOLERANCE)
    assert float(result.sums["clipped"]) == 1.0


def test_negative_advantage_clips_low_ratios_and_keeps_high_ones():
    inputs = loss_inputs(
        [math.log(0.5), math.log(1.5)], logprobs=[0.0, 0.0], advantages=[-1.0, -1.0]
    )

    loss = ppo(inputs, LOSS.config).loss_NK

    assert loss[:, 0].tolist() == pytest.approx([0.8, 1.5], abs=TOLERANCE)
    assert gradient_of(loss, inputs) == pytest.approx([0.0, 1.5], abs=TOLERANCE)


def test_thresholds_bound_the_ratio_itself():
    inputs = loss_inputs([math.log(5.0)], logprobs=[0.0], advantages=[1.0])

    loss = ppo(inputs, {"clip_low_threshold": 0.0, "clip_high_threshold": 4.0}).loss_NK

    assert loss.item() == pytest.approx(-4.0, abs=TOLERANCE)


def test_loss_and_gradient_equal_a_plain_python_reference():
    logp, old = [-0.3, -2.0, -5.0, -1.0], [-0.35, -1.0, -4.0, -1.9]
    advantages = [0.7, -1.2, 3.0, 0.4]

    def reference(values: list[float]) -> float:
        total = 0.0
        for value, before, gain in zip(values, old, advantages, strict=True):
            ratio = math.exp(value - before)
            total -= min(ratio * gain, min(max(ratio, 0.8), 1.2) * gain)
        return total

    inputs = loss_inputs(logp, logprobs=old, advantages=advantages)
    loss = ppo(inputs, LOSS.config).loss_NK

    assert float(loss.sum().detach()) == pytest.approx(reference(logp), rel=TOLERANCE)
    assert gradient_of(loss, inputs) == pytest.approx(
        central_difference(reference, logp), rel=TOLERANCE, abs=1e-9
    )


def test_huge_ratio_with_positive_advantage_is_bounded():
    inputs = loss_inputs([0.0], logprobs=[-200.0], advantages=[1.0])

    loss = ppo(inputs, LOSS.config).loss_NK

    assert loss.item() == pytest.approx(-1.2, abs=TOLERANCE)
    assert gradient_of(loss, inputs) == [0.0]


def test_thresholds_of_the_datum_win_target_by_target():
    inputs = loss_inputs(
        [math.log(5.0), math.log(5.0), math.log(0.1)],
        logprobs=[0.0, 0.0, 0.0],
        advantages=[1.0, 1.0, -1.0],
        clip_low_threshold=[0.5, 0.5, 0.5],
        clip_high_threshold=[2.0, 9.0, 2.0],
    )

    loss = ppo(inputs, LOSS.config).loss_NK

    assert loss[:, 0].tolist() == pytest.approx([-2.0, -5.0, 0.5], abs=TOLERANCE)
    assert gradient_of(loss, inputs) == pytest.approx([0.0, -5.0, 0.0], abs=TOLERANCE)


def test_one_threshold_of_the_datum_leaves_the_other_to_the_config():
    inputs = loss_inputs(
        [math.log(5.0), math.log(0.1)],
        logprobs=[0.0, 0.0],
        advantages=[1.0, -1.0],
        clip_high_threshold=[2.0, 2.0],
    )

    loss = ppo(inputs, LOSS.config).loss_NK

    assert loss[:, 0].tolist() == pytest.approx([-2.0, 0.8], abs=TOLERANCE)
