"""Policy gradient corrected for the policy that sampled.

`logprobs` are those of the policy that sampled, at the temperature it sampled with.

Legend: N target positions, K targets per position.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mint_runtime.losses.base import Loss, LossInputs, LossOutput
from mint_runtime.losses.ratio import counted, log_ratio, signed_gain


def importance_sampling(inputs: LossInputs, config: Mapping[str, float]) -> LossOutput:
    """Return `-ratio * advantage` for each target, with ratio = exp(logp - logprobs).

    `logprobs` are those of the sampling policy; no gradient flows through them or the advantages.

    Sums: `tokens`, the number of targets with an advantage; `ratio`, the sum of their ratios.
    """
    ratio_NK = log_ratio(inputs).exp()
    counted_NK = counted(inputs)
    return LossOutput(
        loss_NK=-ratio_NK * signed_gain(inputs),
        sums={
            "tokens": counted_NK.sum(),
            "ratio": torch.where(counted_NK, ratio_NK.detach(), 0.0).sum(),
        },
    )


LOSS = Loss(
    name="importance_sampling",
    function=importance_sampling,
    required=("logprobs", "advantages"),
    optional=("weights",),
)
