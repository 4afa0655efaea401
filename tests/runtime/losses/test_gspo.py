"""GSPO: PPO's surrogate with the geometric mean of a sequence's ratios in place of each ratio."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mint_runtime.errors import UserError
from mint_runtime.losses.gspo import LOSS, check_inputs, gspo
from support.losses import gradient_of, loss_inputs, packed_inputs

TOLERANCE = 1e-5  # float32 through one exponential


def test_every_target_has_the_geometric_mean_of_the_masked_ratios():
    inputs = loss_inputs(
        [-1.0, -1.0, -1.0],
        logprobs=[-1.0 - math.log(1.21), -1.0, 500.0],
        advantages=[1.0, -1.0, 0.0],
        sequence_ratio_mask=[1.0, 1.0, 0.0],
    )

    result = gspo(inputs, LOSS.config)

    # The square root of 1.21 * 1, which is within the thresholds.
    assert result.loss_NK[:, 0].tolist() == pytest.approx([-1.1, 1.1, 0.0], abs=TOLERANCE)
    assert float(result.sums["ratio"]) == pytest.approx(2.2, abs=TOLERANCE)


def test_gradient_of_a_target_is_the_sequence_ratio_times_its_own_advantage():
    inputs = loss_inputs(
        [-1.0, -1.0],
        logprobs=[-1.0 - math.log(1.21), -1.0],
        advantages=[1.0, 3.0],
        sequence_ratio_mask=[1.0, 1.0],
    )

    loss = gspo(inputs, LOSS.config).loss_NK

    # Differentiating the mean as well would spread the sum over both: [-2.2, -2.2].
    assert gradient_of(loss, inputs) == pytest.approx([-1.1, -3.3], abs=TOLERANCE)


def test_clipping_takes_whole_sequences():
    inputs = packed_inputs(
        [
            {
                "logp": [-1.0, -1.0],
                "logprobs": [-2.0, -1.0],
                "advantages": [1.0, 1.0],
                "sequence_ratio_mask": [1.0, 1.0],
            },
            {
                "logp": [-1.0],
                "logprobs": [-1.1],
                "advantages": [1.0],
                "sequence_ratio_mask": [1.0],
            },
        ]
    )

    result = gspo(inputs, LOSS.config)

    # exp(0.5) is above 1.2; the second datum is not.
    assert result.loss_NK[:, 0].tolist() == pytest.approx(
        [-1.2, -1.2, -math.exp(0.1)], abs=TOLERANCE
    )
    assert gradient_of(result.loss_NK, inputs) == pytest.approx(
        [0.0, 0.0, -math.exp(0.1)], abs=TOLERANCE
    )
    assert float(result.sums["clipped"]) == 2.0


def test_target_outside_the_mask_counts_with_the_ratio_of_the_others():
    inputs = loss_inputs(
        [-1.0, -1.0],
        logprobs=[-1.1, 300.0],
        advantages=[0.0, 1.0],
        sequence_ratio_mask=[1.0, 0.0],
    )

    loss = gspo(inputs, LOSS.config).loss_NK

    assert loss[:, 0].tolist() == pytest.approx([0.0, -math.exp(0.1)], abs=TOLERANCE)


def test_any_value_but_0_marks_a_position():
    values = {"logprobs": [-1.1, -1.0], "advantages": [1.0, 1.0]}
    marked = gspo(loss_inputs([-1.0] * 2, sequence_ratio_mask=[1.0, 1.0], **values), LOSS.config)

    other = gspo(loss_inputs([-1.0] * 2, sequence_ratio_mask=[0.25, -7.0], **values), LOSS.config)

    assert other.loss_NK.tolist() == marked.loss_NK.tolist()


def test_thresholds_of_the_datum_bound_the_sequence_ratio_target_by_target():
    inputs = loss_inputs(
        [-1.0, -1.0],
        logprobs=[-3.0, -3.0],
        advantages=[1.0, 1.0],
        sequence_ratio_mask=[1.0, 1.0],
        clip_high_threshold=[2.0, 3.0],
    )

    loss = gspo(inputs, LOSS.config).loss_NK

    assert loss[:, 0].tolist() == pytest.approx([-2.0, -3.0], abs=TOLERANCE)


def test_datum_whose_mask_is_empty_and_counts_nowhere_gives_nothing():
    inputs = loss_inputs([-1.0], logprobs=[-300.0], advantages=[0.0], sequence_ratio_mask=[0.0])

    loss = gspo(inputs, LOSS.config).loss_NK

    assert loss.item() == 0.0
    assert gradient_of(loss, inputs) == [0.0]


def test_several_targets_per_position_are_refused():
    two = torch.zeros(3, 2)
    inputs = loss_inputs(two, logprobs=two, advantages=two, sequence_ratio_mask=two)

    with pytest.raises(UserError, match=r"2 targets per position.*flat list"):
        gspo(inputs, LOSS.config)


def values(**changes: list[float]) -> dict[str, np.ndarray]:
    """Return the inputs of a datum of two positions."""
    sent = {"advantages": [1.0, 0.0], "sequence_ratio_mask": [1.0, 0.0], **changes}
    return {key: np.array(value, np.float32)[:, None] for key, value in sent.items()}


def test_datum_without_a_ratio_is_refused_by_its_place():
    with pytest.raises(UserError, match=r"datum 3: `sequence_ratio_mask` is 0 everywhere"):
        check_inputs("datum 3", values(sequence_ratio_mask=[0.0, 0.0]), LOSS.config)


def test_datum_with_several_targets_is_refused_by_its_place():
    wide = {key: value.reshape(1, 2) for key, value in values().items()}

    with pytest.raises(UserError, match=r"datum 0: .*2 targets per position"):
        check_inputs("datum 0", wide, LOSS.config)


def test_thresholds_of_a_datum_are_checked_as_for_ppo():
    with pytest.raises(UserError, match="datum 1: `clip_low_threshold` holds -1 at position 0"):
        check_inputs("datum 1", values(clip_low_threshold=[-1.0, 0.5]), LOSS.config)


@pytest.mark.parametrize(
    "sent",
    [values(), values(advantages=[0.0, 0.0], sequence_ratio_mask=[0.0, 0.0])],
    ids=["with a ratio", "without advantages"],
)
def test_usable_datum_is_accepted(sent):
    check_inputs("datum 0", sent, LOSS.config)
