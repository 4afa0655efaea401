"""The clipped surrogate of PPO.

Legend: N target positions, K targets per position. Source: arXiv:1707.06347, equation 7.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mint_runtime.losses.base import Loss, LossInputs, LossOutput
from mint_runtime.losses.importance_sampling import counted, log_ratio, signed_gain


def ppo(inputs: LossInputs, config: Mapping[str, float]) -> LossOutput:
    """Return `-min(ratio * advantage, clamp(ratio, low, high) * advantage)` for each target.

    The thresholds bound the ratio itself (0.8 and 1.2), they are not distances from 1. No gradient
    flows where the clamped branch is the smaller one.

    Sums: `tokens`, the number of targets with an advantage; `ratio`, the sum of their ratios;
    `clipped`, how many of them take the clamped branch.
    """
    advantage_NK = inputs.values["advantages"]
    delta_NK = log_ratio(inputs)
    ratio_NK = delta_NK.detach().exp()
    bounded_NK = ratio_NK.clamp(config["clip_low_threshold"], config["clip_high_threshold"])
    is_clipped_NK = bounded_NK * advantage_NK < ratio_NK * advantage_NK
    # A clipped ratio may be infinite, and 0 * inf in the backward pass is not a number: it is
    # replaced before the exponential that carries the gradient, not after.
    free_NK = torch.where(is_clipped_NK, 0.0, delta_NK).exp()
    counted_NK = counted(inputs)
    return LossOutput(
        loss_NK=-torch.where(is_clipped_NK, bounded_NK, free_NK) * signed_gain(inputs),
        sums={
            "tokens": counted_NK.sum(),
            "ratio": ratio_NK[counted_NK].sum(),
            "clipped": is_clipped_NK.sum(),
        },
    )


LOSS = Loss(
    name="ppo",
    function=ppo,
    required=("logprobs", "advantages"),
    optional=("weights",),
    config={"clip_low_threshold": 0.8, "clip_high_threshold": 1.2},
)
