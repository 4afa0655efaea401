"""Inputs for loss functions, and slow computations to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from hypothesis import strategies as st
from mint_runtime.losses import LossInputs
from torch import Tensor

Datum = Mapping[str, list[float]]
"""`logp` and the inputs of a loss, one number per position each."""
Slow = tuple[list[float], list[float]]
"""Loss of each position, and its derivative by the log-probability of that position."""


def loss_inputs(logp: list[float] | Tensor, **values: list[float] | Tensor) -> LossInputs:
    """Return inputs of one datum; lists become a column `[N, 1]`."""
    logp_NK = column(logp).requires_grad_()
    return LossInputs(
        logp_NK=logp_NK,
        values={name: column(value) for name, value in values.items()},
        datum_N=torch.zeros(len(logp_NK), dtype=torch.int64),
        num_datums=1,
    )


def packed_inputs(datums: Sequence[Datum]) -> LossInputs:
    """Return inputs of several datums with the same keys, one after the other."""
    lengths = torch.tensor([len(datum["logp"]) for datum in datums])
    columns = {key: [value for one in datums for value in one[key]] for key in datums[0]}
    return LossInputs(
        logp_NK=column(columns.pop("logp")).requires_grad_(),
        values={key: column(value) for key, value in columns.items()},
        datum_N=torch.repeat_interleave(torch.arange(len(datums)), lengths),
        num_datums=len(datums),
    )


def column(values: list[float] | Tensor) -> Tensor:
    """Return float32 `[N, K]`."""
    tensor = torch.as_tensor(values, dtype=torch.float32)
    return tensor[:, None] if tensor.ndim == 1 else tensor


def gradient_of(loss_NK: Tensor, inputs: LossInputs) -> list[float]:
    """Return the derivative of the summed loss by each log-probability."""
    (grad,) = torch.autograd.grad(loss_NK.sum(), inputs.logp_NK)
    return grad.flatten().tolist()


def central_difference(function: Callable[[list[float]], float], at: list[float]) -> list[float]:
    """Differentiate a plain Python function numerically."""
    width = 1e-5
    slopes = []
    for index in range(len(at)):
        up, down = list(at), list(at)
        up[index] += width
        down[index] -= width
        slopes.append((function(up) - function(down)) / (2 * width))
    return slopes


_NUMBERS = st.integers(-128, 128).map(lambda number: number / 64)
"""Multiples of 1/64: sums and differences are exact in float32, and the exponential of no mean of a
few of them is near a clip threshold, where the derivative jumps.
"""


@st.composite
def datums(draw: st.DrawFn) -> list[dict[str, list[float]]]:
    """Draw one to four datums of one to six positions, each with the same inputs of every loss."""
    keys = {
        "advantages": st.sampled_from([0.0, 0.0, 1.0, -1.0, 2.5, -0.125]),
        "sequence_ratio_mask": st.sampled_from([0.0, 1.0, 1.0]),
    }
    if draw(st.booleans()):
        keys["weights"] = st.sampled_from([0.0, 1.0, 1.0, 0.25, -2.0])
    if draw(st.booleans()):
        keys["clip_low_threshold"] = st.sampled_from([0.0, 0.5, 1.0])
        keys["clip_high_threshold"] = st.sampled_from([1.0, 1.25, 4.0])
    found = []
    for _ in range(draw(st.integers(1, 4))):
        length = draw(st.integers(1, 6))
        many = {"min_size": length, "max_size": length}
        old = draw(st.lists(_NUMBERS, **many))
        steps = draw(st.lists(_NUMBERS, **many))
        datum = {key: draw(st.lists(values, **many)) for key, values in keys.items()}
        found.append(
            {
                "logp": [before + step - 4 for before, step in zip(old, steps, strict=True)],
                "logprobs": [before - 4 for before in old],
                **datum,
            }
        )
    return found


def slow_loss(name: str, datum: Datum, config: Mapping[str, float]) -> Slow:
    """Compute a loss position by position in Python floats, with derivatives worked out by hand.

    Written from the formulas and not from the code under test: no masks, only branches.
    """
    length = len(datum["logp"])
    weights = datum.get("weights", [1.0] * length)
    losses, slopes = [], []
    for at in range(length):
        loss, slope = _slow_position(name, datum, config, at)
        losses.append(loss * weights[at])
        slopes.append(slope * weights[at])
    return losses, slopes


def _slow_position(
    name: str, datum: Datum, config: Mapping[str, float], at: int
) -> tuple[float, float]:
    logp, old, gain = (datum[key][at] for key in ("logp", "logprobs", "advantages"))
    if name == "cross_entropy":
        return -logp, -1.0
    if name == "dro":
        beta = config["beta"]
        return -(logp * gain - 0.5 * beta * (logp - old) ** 2), -(gain - beta * (logp - old))
    ratio = math.exp(_slow_log_ratio(name, datum, at))
    if name == "importance_sampling":
        return -ratio * gain, -ratio * gain
    low, high = (
        datum[key][at] if key in datum else config[key]
        for key in ("clip_low_threshold", "clip_high_threshold")
    )
    bounded = min(max(ratio, low), high)
    if name == "cispo":
        return -bounded * logp * gain, -bounded * gain
    if ratio * gain <= bounded * gain:
        return -ratio * gain, -ratio * gain
    return -bounded * gain, 0.0


def _slow_log_ratio(name: str, datum: Datum, at: int) -> float:
    pairs = list(zip(datum["logp"], datum["logprobs"], strict=True))
    if name == "gspo":
        pairs = [
            pair
            for pair, mask in zip(pairs, datum["sequence_ratio_mask"], strict=True)
            if mask != 0
        ]
        return sum(new - old for new, old in pairs) / len(pairs) if pairs else 0.0
    new, old = pairs[at]
    return new - old
