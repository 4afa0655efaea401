"""Reverse Kullback-Leibler divergence from a reference over the whole vocabulary, on logits.

This is what `mint` calls `forward_backward_reverse_kl`. It is no entry of `LOSSES`, because it
needs two distributions and not the log-probability of a target. The formula of the hosted service
is not published; this is the usual one of on-policy distillation (arXiv:2306.13649, with the
student's distribution in front).

Legend: n rows, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mint_runtime.errors import UserError


def reverse_kl_rows(
    logits_nV: Tensor, reference_nV: Tensor, weight_n: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the weighted divergence of each row, and its derivative by the logits.

    With `p = softmax(logits / temperature)` and `r = softmax(reference / temperature)`, a row costs
    `KL = sum_v p_v (log p_v - log r_v)` nats, times its weight. The derivative by `logits_v` is
    `weight / temperature * p_v * (log p_v - log r_v - KL)`. Nothing flows into the reference. A row
    of weight 0 gives exactly 0 in both, whatever its logits. A token that the student cannot draw
    (`p_v = 0`) costs nothing.

    Computes in float32 with one scratch tensor of `[n, V]`. **Both logits are overwritten** if they
    are float32 (the derivative lies in the memory of `logits_nV`); other types are copied first.
    Call it without autograd, on slices of rows that fit.

    Args:
        logits_nV: The student's logits.
        reference_nV: The reference's logits for the same rows.
        weight_n: Any finite numbers.
        temperature: Divides both logits.

    Returns:
        `loss_n` and `dlogits_nV`, float32.

    Raises:
        UserError: `temperature` is not a positive finite number.
    """
    if not 0 < temperature < math.inf:
        raise UserError(f"`temperature` is {temperature:g}; it must be a positive finite number")
    weight_n = weight_n.float()
    is_off_n1 = (weight_n == 0)[:, None]
    reference_nV = reference_nV.detach().float().div_(temperature)
    logits_nV = logits_nV.detach().float().div_(temperature)

    scratch_nV = torch.empty_like(logits_nV)
    _log_softmax_(reference_nV, scratch_nV)
    _log_softmax_(logits_nV, scratch_nV)
    p_nV = torch.exp(logits_nV, out=scratch_nV)
    # An impossible token of both is -inf - -inf; one of the student alone is 0 * -inf.
    excess_nV = logits_nV.sub_(reference_nV).masked_fill_(p_nV == 0, 0.0)
    kl_n1 = torch.mul(p_nV, excess_nV, out=reference_nV).sum(dim=1, keepdim=True)
    dlogits_nV = excess_nV.sub_(kl_n1).mul_(p_nV).mul_(weight_n[:, None] / temperature)
    # A row that does not count may hold anything, and 0 times infinity is not a number.
    dlogits_nV.masked_fill_(is_off_n1, 0.0)
    return torch.where(is_off_n1, 0.0, kl_n1 * weight_n[:, None])[:, 0], dlogits_nV


def _log_softmax_(logits_nV: Tensor, scratch_nV: Tensor) -> None:
    """Turn logits into log-probabilities in their own memory."""
    logits_nV.sub_(logits_nV.amax(dim=1, keepdim=True))
    total_n1 = torch.exp(logits_nV, out=scratch_nV).sum(dim=1, keepdim=True)
    logits_nV.sub_(total_n1.log_())
