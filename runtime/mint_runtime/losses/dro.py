"""Policy gradient with a quadratic pull towards the policy that sampled (DRO).

Source: arXiv:2405.19107 in the form of the Tinker documentation. A default of `beta` is published
nowhere; 0.05 is the value of the documentation's example.

Legend: N target positions, K targets per position.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mint_runtime.errors import UserError
from mint_runtime.losses.base import Loss, LossInputs, LossOutput


def dro(inputs: LossInputs, config: Mapping[str, float]) -> LossOutput:
    """Return `-(logp * advantage - beta / 2 * (logp - logprobs)^2)` for each target.

    The pull does not depend on the advantage, so a target with advantage 0 counts too: only a
    weight of 0 takes it out. Callers who pad `logprobs` on the prompt have to send `weights`. Other
    weights multiply both terms. The loss is not linear in the advantages: a caller who scales them
    scales `beta` alike.

    Sums: `tokens`, the number of targets that count; `squared_log_ratio`, the sum of their squares.
    """
    advantage_NK = inputs.values["advantages"]
    weight_NK = inputs.values.get("weights")
    if weight_NK is None:
        weight_NK = torch.ones_like(advantage_NK)
    counted_NK = weight_NK != 0
    logp_NK = torch.where(counted_NK, inputs.logp_NK, 0.0)
    delta_NK = torch.where(counted_NK, inputs.logp_NK - inputs.values["logprobs"], 0.0)
    squared_NK = delta_NK.square()
    gain_NK = logp_NK * advantage_NK - 0.5 * config["beta"] * squared_NK
    return LossOutput(
        loss_NK=-gain_NK * weight_NK,
        sums={"tokens": counted_NK.sum(), "squared_log_ratio": squared_NK.detach().sum()},
    )


def check_beta(config: Mapping[str, float]) -> None:
    """Refuse a pull away from the sampling policy.

    Raises:
        UserError: `beta` is negative.
    """
    if config["beta"] < 0:
        raise UserError(
            f"`loss_fn_config` sets 'beta' to {config['beta']:g}; it must be at least 0, or the "
            "loss rewards every move away from the policy that sampled"
        )


LOSS = Loss(
    name="dro",
    function=dro,
    required=("logprobs", "advantages"),
    optional=("weights",),
    config={"beta": 0.05},
    check_config=check_beta,
)
