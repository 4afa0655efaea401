"""CISPO: `-clamp(ratio) * logp * advantage`, the clamped ratio held constant."""

from __future__ import annotations

import math

import pytest
from mint_runtime.losses.cispo import LOSS, cispo
from support.losses import gradient_of, loss_inputs

TOLERANCE = 1e-5  # float32 through one exponential


def test_clamped_ratio_weighs_the_log_probability():
    inputs = loss_inputs(
        [-1.0, -2.0, -3.0],
        logprobs=[-1.0 - math.log(1.5), -2.0 - math.log(1.1), -3.0 - math.log(0.5)],
        advantages=[1.0, 2.0, -1.0],
    )

    result = cispo(inputs, LOSS.config)

    # Ratios 1.5, 1.1 and 0.5 become 1.2, 1.1 and 0.8.
    assert result.loss_NK[:, 0].tolist() == pytest.approx([1.2, 4.4, -2.4], abs=TOLERANCE)
    assert float(result.sums["clipped"]) == 2.0
    assert float(result.sums["ratio"]) == pytest.approx(3.1, abs=TOLERANCE)


def test_clipped_target_keeps_its_gradient():
    inputs = loss_inputs([-1.0, -1.0], logprobs=[-3.0, 1.0], advantages=[1.0, -1.0])

    loss = cispo(inputs, LOSS.config).loss_NK

    assert gradient_of(loss, inputs) == pytest.approx([-1.2, 0.8], abs=TOLERANCE)


def test_gradient_does_not_flow_through_the_ratio():
    inputs = loss_inputs([-2.0], logprobs=[-2.1], advantages=[1.0])

    loss = cispo(inputs, LOSS.config).loss_NK

    # With the ratio in it, the derivative would be -exp(0.1) * (1 - 2).
    assert gradient_of(loss, inputs) == pytest.approx([-math.exp(0.1)], rel=TOLERANCE)


def test_thresholds_of_one_side_leave_small_ratios_alone():
    inputs = loss_inputs([-2.0], logprobs=[-1.0], advantages=[1.0])

    loss = cispo(inputs, {"clip_low_threshold": 0.0, "clip_high_threshold": 4.0}).loss_NK

    assert loss.item() == pytest.approx(2.0 * math.exp(-1.0), rel=TOLERANCE)


def test_thresholds_of_the_datum_win_target_by_target():
    inputs = loss_inputs(
        [-1.0, -1.0],
        logprobs=[-3.0, -3.0],
        advantages=[1.0, 1.0],
        clip_high_threshold=[2.0, 3.0],
    )

    loss = cispo(inputs, LOSS.config).loss_NK

    assert loss[:, 0].tolist() == pytest.approx([2.0, 3.0], abs=TOLERANCE)
