"""What holds for every loss of the table: slow reference, sums over datums, order, masks, types."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mint_runtime.losses import LOSSES, LossInputs
from support.losses import (
    column,
    datums,
    gradient_of,
    loss_inputs,
    packed_inputs,
    slow_loss,
)

# float32 through one exponential and a product; values here are below 100.
RELATIVE, ABSOLUTE = 2e-5, 1e-6
NAMES = sorted(LOSSES)
COMPARED = sorted(set(NAMES) - {"cross_entropy"})
"""Losses that compare two policies."""
CLIPPED = ["cispo", "gspo", "ppo"]
FEW = settings(max_examples=30, deadline=None)


def computed(name: str, inputs: LossInputs) -> tuple[list[float], list[float]]:
    """Return loss and gradient of each target under the default config."""
    loss_NK = LOSSES[name].function(inputs, LOSSES[name].config).loss_NK
    return loss_NK.flatten().tolist(), gradient_of(loss_NK, inputs)


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(batch=datums())
def test_loss_and_gradient_equal_a_slow_reference(name, batch):
    losses, gradient = computed(name, packed_inputs(batch))

    parts = [slow_loss(name, datum, LOSSES[name].config) for datum in batch]
    expected = [value for part in parts for value in part[0]]
    slopes = [value for part in parts for value in part[1]]
    assert losses == pytest.approx(expected, rel=RELATIVE, abs=ABSOLUTE)
    assert gradient == pytest.approx(slopes, rel=RELATIVE, abs=ABSOLUTE)


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(batch=datums())
def test_datums_of_a_pass_are_computed_as_if_alone(name, batch):
    alone = [computed(name, packed_inputs([datum])) for datum in batch]

    losses, gradient = computed(name, packed_inputs(batch))

    assert losses == [value for one in alone for value in one[0]]
    assert gradient == [value for one in alone for value in one[1]]


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(batch=datums(), data=st.data())
def test_order_of_the_datums_does_not_change_their_losses(name, batch, data):
    order = data.draw(st.permutations(range(len(batch))))
    lengths = [len(datum["logp"]) for datum in batch]

    losses, gradient = computed(name, packed_inputs(batch))
    other_losses, other_gradient = computed(name, packed_inputs([batch[at] for at in order]))

    places = torch.arange(sum(lengths)).split(lengths)
    moved = torch.cat([places[at] for at in order]).tolist()
    assert other_losses == [losses[at] for at in moved]
    assert other_gradient == [gradient[at] for at in moved]


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(batch=datums())
def test_reported_sums_of_parts_add_up_to_those_of_the_whole(name, batch):
    def sums(inputs):
        result = LOSSES[name].function(inputs, LOSSES[name].config)
        return {key: float(value.detach()) for key, value in result.sums.items()}

    whole = sums(packed_inputs(batch))
    parts = [sums(packed_inputs([datum])) for datum in batch]

    for key, value in whole.items():
        assert sum(part[key] for part in parts) == pytest.approx(value, rel=RELATIVE, abs=1e-5)


@pytest.mark.parametrize("old", [0.0, -200.0, 200.0, -1e30])
@pytest.mark.parametrize("logp", [-1.0, -1e30, -math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_target_of_weight_0_gives_exactly_nothing(name, logp, old):
    inputs = loss_inputs(
        [logp, -1.0],
        logprobs=[old, -1.0],
        advantages=[5.0, 1.0],
        weights=[0.0, 1.0],
        sequence_ratio_mask=[0.0, 1.0],
    )

    losses, gradient = computed(name, inputs)

    assert (losses[0], gradient[0]) == (0.0, 0.0)
    assert math.isfinite(losses[1])
    assert gradient[1] == -1.0


@pytest.mark.parametrize("old", [0.0, -200.0, 200.0, -1e30])
@pytest.mark.parametrize("name", ["importance_sampling", *CLIPPED])
def test_target_without_advantage_gives_exactly_nothing(name, old):
    inputs = loss_inputs(
        [-1.0, -1.0],
        logprobs=[old, -1.0],
        advantages=[0.0, 1.0],
        sequence_ratio_mask=[0.0, 1.0],
    )

    losses, gradient = computed(name, inputs)

    assert (losses[0], gradient[0]) == (0.0, 0.0)
    assert gradient[1] == -1.0


@pytest.mark.parametrize("name", NAMES)
def test_masked_targets_are_not_in_the_sums(name):
    result = LOSSES[name].function(
        loss_inputs(
            [-1.0, -1.0],
            logprobs=[-200.0, -1.0],
            advantages=[1.0, 1.0],
            weights=[0.0, 1.0],
            sequence_ratio_mask=[0.0, 1.0],
        ),
        LOSSES[name].config,
    )

    sums = {key: float(value.detach()) for key, value in result.sums.items()}
    assert sums["tokens"] == 1.0
    assert sums.get("ratio", 1.0) == 1.0
    assert sums.get("clipped", 0.0) == 0.0


@pytest.mark.parametrize("name", CLIPPED)
def test_masked_targets_are_not_clipped_where_thresholds_exclude_1(name):
    inputs = loss_inputs(
        [-1.0], logprobs=[-1.0], advantages=[-1.0], weights=[0.0], sequence_ratio_mask=[1.0]
    )

    result = LOSSES[name].function(inputs, {"clip_low_threshold": 1.5, "clip_high_threshold": 2.0})

    assert float(result.sums["clipped"]) == 0.0


@pytest.mark.parametrize("name", CLIPPED)
def test_ratio_that_overflows_is_held_at_the_upper_threshold(name):
    inputs = loss_inputs([-1.0], logprobs=[-201.0], advantages=[2.0], sequence_ratio_mask=[1.0])

    losses, gradient = computed(name, inputs)

    # cispo multiplies by the log-probability, -1, and keeps its gradient.
    assert losses == pytest.approx([2.4 if name == "cispo" else -2.4], rel=RELATIVE)
    assert gradient == pytest.approx([-2.4 if name == "cispo" else 0.0], rel=RELATIVE)


@pytest.mark.parametrize("name", CLIPPED)
def test_ratio_that_underflows_is_held_at_the_lower_threshold(name):
    inputs = loss_inputs([-201.0], logprobs=[-1.0], advantages=[-2.0], sequence_ratio_mask=[1.0])

    losses, gradient = computed(name, inputs)

    assert losses == pytest.approx([-321.6 if name == "cispo" else 1.6], rel=RELATIVE)
    assert gradient == pytest.approx([1.6 if name == "cispo" else 0.0], rel=RELATIVE)


@pytest.mark.parametrize("name", ["importance_sampling", "ppo", "gspo"])
def test_ratio_that_overflows_where_nothing_bounds_it_is_infinite_and_not_hidden(name):
    inputs = loss_inputs([-1.0], logprobs=[-201.0], advantages=[-1.0], sequence_ratio_mask=[1.0])

    assert computed(name, inputs)[0] == [math.inf]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"gspo"}))
@FEW
@given(batch=datums())
def test_targets_of_a_position_are_independent_terms(name, batch):
    flat = packed_inputs(batch)
    columns = {key: torch.cat([value, value.flip(0)], dim=1) for key, value in flat.values.items()}
    wide = LossInputs(
        logp_NK=torch.cat([flat.logp_NK, flat.logp_NK.flip(0)], dim=1).detach().requires_grad_(),
        values=columns,
        datum_N=flat.datum_N,
        num_datums=flat.num_datums,
    )

    loss_NK = LOSSES[name].function(wide, LOSSES[name].config).loss_NK

    expected, slopes = computed(name, flat)
    assert loss_NK.tolist() == [list(pair) for pair in zip(expected, expected[::-1], strict=True)]
    assert gradient_of(loss_NK, wide) == [
        slope for pair in zip(slopes, slopes[::-1], strict=True) for slope in pair
    ]


@pytest.mark.parametrize("name", COMPARED)
def test_weights_of_1_change_nothing(name):
    values = {
        "logprobs": [-1.5, -0.5, -3.0],
        "advantages": [1.0, -2.0, 0.5],
        "sequence_ratio_mask": [1.0, 1.0, 0.0],
    }

    plain = computed(name, loss_inputs([-1.0, -1.0, -3.0], **values))

    assert computed(name, loss_inputs([-1.0, -1.0, -3.0], weights=[1.0] * 3, **values)) == plain


def documented(name: str, logp: torch.Tensor, values: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the loss of one datum as the API's documentation writes it, summed."""
    config, gain = LOSSES[name].config, values["advantages"]
    difference = logp - values["logprobs"]
    if name == "cross_entropy":
        return -logp.sum()
    if name == "importance_sampling":
        return -(difference.exp() * gain).sum()
    if name == "dro":
        return -(logp * gain - 0.5 * config["beta"] * difference**2).sum()
    if name == "gspo":
        inside = values["sequence_ratio_mask"] != 0
        difference = difference.detach()[inside].mean() + logp - logp.detach()
    low, high = config["clip_low_threshold"], config["clip_high_threshold"]
    ratio = difference.exp()
    if name == "cispo":
        return -(ratio.clamp(low, high).detach() * logp * gain).sum()
    return -torch.min(ratio * gain, ratio.clamp(low, high) * gain).sum()


@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_float64_autograd_of_the_documented_formula(name):
    generator = torch.Generator().manual_seed(11)
    lengths = [7, 1, 30, 12]
    num = sum(lengths)
    old = -3 * torch.rand(num, generator=generator)
    logp = old + 0.3 * torch.randn(num, generator=generator)
    values = {
        "logprobs": old,
        "advantages": torch.randn(num, generator=generator),
        "sequence_ratio_mask": (torch.rand(num, generator=generator) > 0.3).float(),
    }
    # The datum of one position needs a ratio too.
    values["sequence_ratio_mask"][7] = 1.0
    inputs = LossInputs(
        logp_NK=column(logp).requires_grad_(),
        values={key: column(value) for key, value in values.items()},
        datum_N=torch.repeat_interleave(torch.arange(4), torch.tensor(lengths)),
        num_datums=4,
    )

    losses, gradient = computed(name, inputs)

    exact = logp.double().requires_grad_()
    parts = [
        documented(name, one, {key: value[at] for key, value in doubled.items()})
        for doubled in [{key: value.double() for key, value in values.items()}]
        for at in torch.arange(num).split(lengths)
        for one in [exact[at]]
    ]
    total = torch.stack(parts).sum()
    assert sum(losses) == pytest.approx(total.item(), rel=RELATIVE)
    (slopes,) = torch.autograd.grad(total, exact)
    assert gradient == pytest.approx(slopes.tolist(), rel=RELATIVE, abs=ABSOLUTE)
