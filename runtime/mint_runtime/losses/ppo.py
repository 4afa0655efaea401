"""The clipped surrogate of PPO.

Source: arXiv:1707.06347, equation 7.
"""

from __future__ import annotations

from collections.abc import Mapping

from mint_runtime.losses.base import Loss, LossInputs, LossOutput
from mint_runtime.losses.clipping import (
    DEFAULTS,
    INPUTS,
    check_threshold_inputs,
    check_thresholds,
    clipped_surrogate,
)
from mint_runtime.losses.ratio import log_ratio


def ppo(inputs: LossInputs, config: Mapping[str, float]) -> LossOutput:
    """Return `-min(ratio * advantage, clamp(ratio, low, high) * advantage)` for each target.

    The ratio is `exp(logp - logprobs)` of each target on its own. The thresholds bound the ratio
    itself (0.8 and 1.2), they are not distances from 1. No gradient flows where the clamped branch
    is the smaller one. There is no second bound for negative advantages ("dual clip").

    Sums: `tokens`, the number of targets with an advantage; `ratio`, the sum of their ratios;
    `clipped`, how many of them take the clamped branch.
    """
    return clipped_surrogate(inputs, config, log_ratio(inputs))


LOSS = Loss(
    name="ppo",
    function=ppo,
    required=("logprobs", "advantages"),
    optional=("weights", *INPUTS),
    config=DEFAULTS,
    check_config=check_thresholds,
    check_inputs=check_threshold_inputs,
)
