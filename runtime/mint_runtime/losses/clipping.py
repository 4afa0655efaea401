"""Bounds on a ratio of probabilities, and the surrogate that PPO and GSPO build on them.

The thresholds bound the ratio itself; they are not distances from 1. Each may come from the config,
one number for all targets, or from the datum, one number per target. The datum's wins, and the two
thresholds are looked up apart. What a hosted service does with thresholds in a datum is not
published: its clients only know their names and that they are float32.

Legend: N target positions, K targets per position.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mint_runtime.errors import UserError
from mint_runtime.losses.base import LossInputs, LossOutput, LossValues
from mint_runtime.losses.ratio import counted, signed_gain

LOW = "clip_low_threshold"
HIGH = "clip_high_threshold"
DEFAULTS: Mapping[str, float] = {LOW: 0.8, HIGH: 1.2}
"""Published for `ppo`, and shown for `cispo` in the documentation this API follows."""
INPUTS = (LOW, HIGH)
_HINT = "they bound the ratio itself, so 0.8 and 1.2 stand for a clip range of 0.2"


def clip(ratio_NK: Tensor, inputs: LossInputs, config: Mapping[str, float]) -> Tensor:
    """Return the ratios within their thresholds, `[N, K]`."""
    low = inputs.values.get(LOW)
    high = inputs.values.get(HIGH)
    raised_NK = ratio_NK.clamp(min=config[LOW]) if low is None else ratio_NK.maximum(low)
    return raised_NK.clamp(max=config[HIGH]) if high is None else raised_NK.minimum(high)


def clipped_surrogate(
    inputs: LossInputs, config: Mapping[str, float], log_ratio_NK: Tensor
) -> LossOutput:
    """Return `-min(ratio * advantage, clip(ratio) * advantage)`, times `weights`, per target.

    `log_ratio_NK` has to be 0 where a target does not count; the gradient flows through it, and not
    where the clipped branch is the smaller one.

    Sums: `tokens`, the number of targets that count; `ratio`, the sum of their ratios; `clipped`,
    how many of them take the clipped branch.
    """
    advantage_NK = inputs.values["advantages"]
    ratio_NK = log_ratio_NK.detach().exp()
    bounded_NK = clip(ratio_NK, inputs, config)
    counted_NK = counted(inputs)
    is_clipped_NK = counted_NK & (bounded_NK * advantage_NK < ratio_NK * advantage_NK)
    # A clipped ratio may be infinite, and 0 * inf in the backward pass is not a number: it is
    # replaced before the exponential that carries the gradient, not after.
    free_NK = torch.where(is_clipped_NK, 0.0, log_ratio_NK).exp()
    return LossOutput(
        loss_NK=-torch.where(is_clipped_NK, bounded_NK, free_NK) * signed_gain(inputs),
        sums={
            "tokens": counted_NK.sum(),
            "ratio": torch.where(counted_NK, ratio_NK, 0.0).sum(),
            "clipped": is_clipped_NK.sum(),
        },
    )


def check_thresholds(config: Mapping[str, float]) -> None:
    """Refuse thresholds that are negative or in the wrong order.

    Raises:
        UserError: with the key, its value, and what is accepted.
    """
    for key in INPUTS:
        if config[key] < 0:
            raise UserError(
                f"`loss_fn_config` sets {key!r} to {config[key]:g}, but a ratio is never negative; "
                f"{_HINT}"
            )
    if config[LOW] > config[HIGH]:
        raise UserError(
            f"`loss_fn_config`: {LOW!r} is {config[LOW]:g}, above {HIGH!r}, which is "
            f"{config[HIGH]:g}; {_HINT}"
        )


def check_threshold_inputs(place: str, values: LossValues, config: Mapping[str, float]) -> None:
    """Refuse per-target thresholds of a datum that are negative or in the wrong order.

    Raises:
        UserError: with the position and the values found there.
    """
    sent = [key for key in INPUTS if key in values]
    if not sent:
        return
    for key in sent:
        broken = np.argwhere(values[key] < 0)
        if len(broken):
            at = tuple(broken[0])
            raise UserError(
                f"{place}: `{key}` holds {values[key][at]:g} at position {at[0]}, but a ratio is "
                f"never negative; {_HINT}"
            )
    shape = values[sent[0]].shape
    low, high = (values.get(key, np.full(shape, config[key], np.float32)) for key in INPUTS)
    crossed = np.argwhere(low > high)
    if len(crossed):
        at = tuple(crossed[0])
        raise UserError(
            f"{place}: at position {at[0]} `{LOW}` is {low[at]:g}, above `{HIGH}`, which is "
            f"{high[at]:g}; {_HINT}"
        )
