"""The clipped surrogate with one ratio per sequence (GSPO), in its per-token form.

Source: arXiv:2507.18071, equations 5, 7 and 13-14, in the form of the Tinker documentation.
Defaults of the thresholds are published nowhere; 0.8 and 1.2 are those of `ppo`. The paper trains
with a ratio within 3e-4 below and 4e-4 above 1: callers who follow it set both.

Legend: N target positions; K targets per position, 1 here; S datums.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mint_runtime.errors import UserError
from mint_runtime.losses.base import Loss, LossInputs, LossOutput, LossValues
from mint_runtime.losses.clipping import (
    DEFAULTS,
    INPUTS,
    check_threshold_inputs,
    check_thresholds,
    clipped_surrogate,
)
from mint_runtime.losses.ratio import counted

MASK = "sequence_ratio_mask"


def gspo(inputs: LossInputs, config: Mapping[str, float]) -> LossOutput:
    """Return `-min(s * advantage, clamp(s, low, high) * advantage)` for each target.

    `s` is the geometric mean of the ratios `exp(logp - logprobs)` over the positions of the datum
    where `sequence_ratio_mask` is not 0. It has the same value at every target of the datum, but
    the gradient of that target's own log-probability: the derivative of `s` by `logp` is `s` there
    and 0 elsewhere. A target outside the mask that has an advantage counts all the same. Thresholds
    in a datum bound `s` target by target.

    Sums: `tokens`, the number of targets with an advantage; `ratio`, the sum of their `s`;
    `clipped`, how many of them take the clamped branch.

    Raises:
        UserError: a position has several targets.
    """
    if inputs.logp_NK.shape[1] != 1:
        raise UserError(_several_targets(inputs.logp_NK.shape[1]))
    logp_NK = inputs.logp_NK
    own_NK = logp_NK - logp_NK.detach()
    log_s_NK = _mean_log_ratio(inputs)[inputs.datum_N][:, None]
    return clipped_surrogate(inputs, config, torch.where(counted(inputs), log_s_NK + own_NK, 0.0))


def _mean_log_ratio(inputs: LossInputs) -> Tensor:
    """Return the mean log-ratio over the mask of each datum, `[S]`; 0 where the mask is empty.

    Sums are float64: they are taken in any order on a GPU, and must not differ between runs.
    """
    mask_N = inputs.values[MASK][:, 0] != 0
    delta_N = (inputs.logp_NK.detach() - inputs.values["logprobs"])[:, 0]
    zeros_S = torch.zeros(inputs.num_datums, dtype=torch.float64, device=delta_N.device)
    total_S = zeros_S.index_add(0, inputs.datum_N, torch.where(mask_N, delta_N, 0.0).double())
    count_S = zeros_S.index_add(0, inputs.datum_N, mask_N.double())
    return (total_S / count_S.clamp(min=1)).to(delta_N.dtype)


def check_inputs(place: str, values: LossValues, config: Mapping[str, float]) -> None:
    """Refuse a datum that has no sequence ratio.

    Raises:
        UserError: the mask is 0 everywhere although the datum has advantages, positions have
            several targets, or thresholds make no sense.
    """
    check_threshold_inputs(place, values, config)
    num_targets = values[MASK].shape[1]
    if num_targets != 1:
        raise UserError(f"{place}: {_several_targets(num_targets)}")
    if values["advantages"].any() and not values[MASK].any():
        raise UserError(
            f"{place}: `{MASK}` is 0 everywhere, so the sequence has no ratio; set it to 1 where "
            "the target was sampled"
        )


def _several_targets(num_targets: int) -> str:
    return (
        f"`target_tokens` has {num_targets} targets per position, but gspo takes one: a sequence "
        "has one ratio; send `target_tokens` as a flat list"
    )


LOSS = Loss(
    name="gspo",
    function=gspo,
    required=("logprobs", "advantages", MASK),
    optional=("weights", *INPUTS),
    config=DEFAULTS,
    check_config=check_thresholds,
    check_inputs=check_inputs,
)
