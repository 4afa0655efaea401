"""Weighted cross-entropy of the given targets: the loss of supervised fine-tuning and of custom
losses.

Legend: N target positions, K targets per position.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mint_runtime.losses.base import Loss, LossInputs, LossOutput


def cross_entropy(inputs: LossInputs, config: Mapping[str, float]) -> LossOutput:
    """Return `-weight * logp` for each target.

    Weights may be any finite number: a custom loss computed by a client arrives here as the negated
    derivative of that loss by each log-probability, which is signed and unbounded. Without weights
    every target counts once. With K above 1 the targets of a position are independent terms, so
    weights that sum to 1 give soft-label cross-entropy. Gradients flow through `logp_NK` only.

    Sums: `tokens`, the number of targets whose weight is not 0; `weights`, their total weight.
    """
    logp_NK = inputs.logp_NK
    weight_NK = inputs.values.get("weights")
    if weight_NK is None:
        weight_NK = torch.ones_like(logp_NK)
    # A target without weight must not spoil the sum, whatever its log-probability: 0 * -inf is not
    # a number.
    loss_NK = torch.where(weight_NK == 0, 0.0, -weight_NK * logp_NK)
    return LossOutput(
        loss_NK=loss_NK, sums={"tokens": (weight_NK != 0).sum(), "weights": weight_NK.sum()}
    )


LOSS = Loss(name="cross_entropy", function=cross_entropy, optional=("weights",))
