"""A policy gradient whose importance weight is clipped, and not its update (CISPO).

Source: arXiv:2506.13585, equation 4. The default thresholds 0.8 and 1.2 are those of the
documentation this API follows and of SkyRL's server; later Tinker pages advise 0 and 4, which have
to be asked for.

Legend: N target positions, K targets per position.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mint_runtime.losses.base import Loss, LossInputs, LossOutput
from mint_runtime.losses.clipping import (
    DEFAULTS,
    INPUTS,
    check_threshold_inputs,
    check_thresholds,
    clip,
)
from mint_runtime.losses.ratio import counted, log_ratio, signed_gain


def cispo(inputs: LossInputs, config: Mapping[str, float]) -> LossOutput:
    """Return `-clamp(ratio, low, high) * logp * advantage` for each target.

    The ratio is `exp(logp - logprobs)`. Its clamped value is a constant: the gradient flows through
    the factor `logp` alone, so that a clipped target still has one.

    Sums: `tokens`, the number of targets with an advantage; `ratio`, the sum of their ratios before
    clamping; `clipped`, how many of them lie outside the thresholds.
    """
    counted_NK = counted(inputs)
    ratio_NK = log_ratio(inputs).detach().exp()
    bounded_NK = clip(ratio_NK, inputs, config)
    # A target that does not count may have a log-probability of -inf, and 0 * -inf is not a number.
    logp_NK = torch.where(counted_NK, inputs.logp_NK, 0.0)
    return LossOutput(
        loss_NK=-bounded_NK * logp_NK * signed_gain(inputs),
        sums={
            "tokens": counted_NK.sum(),
            "ratio": torch.where(counted_NK, ratio_NK, 0.0).sum(),
            "clipped": (counted_NK & (bounded_NK != ratio_NK)).sum(),
        },
    )


LOSS = Loss(
    name="cispo",
    function=cispo,
    required=("logprobs", "advantages"),
    optional=("weights", *INPUTS),
    config=DEFAULTS,
    check_config=check_thresholds,
    check_inputs=check_threshold_inputs,
)
