"""What the losses that compare two policies share: which targets count, their log-ratio, their
gain.

Legend: N target positions, K targets per position.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mint_runtime.losses.base import LossInputs


def counted(inputs: LossInputs) -> Tensor:
    """Return which targets take part, bool `[N, K]`: advantage, and weight if sent, are not 0."""
    counted_NK = inputs.values["advantages"] != 0
    weight_NK = inputs.values.get("weights")
    return counted_NK if weight_NK is None else counted_NK & (weight_NK != 0)


def log_ratio(inputs: LossInputs) -> Tensor:
    """Return `logp - logprobs`, `[N, K]`; 0 and without gradient where the target does not count.

    Prompt positions arrive with log-probability 0 and advantage 0. Their ratio means nothing and
    may overflow, and an infinite ratio times zero would turn the whole sum into "not a number".
    """
    return torch.where(counted(inputs), inputs.logp_NK - inputs.values["logprobs"], 0.0)


def signed_gain(inputs: LossInputs) -> Tensor:
    """Return the factor of the ratio, `[N, K]`: the advantage, times `weights` where sent.

    Some clients mask the prompt with weights; a weight of 1 changes nothing.
    """
    advantage_NK = inputs.values["advantages"]
    weight_NK = inputs.values.get("weights")
    return advantage_NK if weight_NK is None else advantage_NK * weight_NK
