"""From logits to one token per sequence: temperature, top-k, top-p, and the draw.

Legend: B sequences, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor


def choose_tokens(
    logits_BV: Tensor, uniform_B: Tensor, *, temperature: float, top_k: int, top_p: float
) -> tuple[Tensor, Tensor]:
    """Return a token per sequence and its log-probability, `[B]` each.

    The log-probability is that of the temperature-scaled distribution before top-k and top-p cut
    it, because this is the probability importance sampling needs; at temperature 0 it is that of
    the unscaled distribution.

    Args:
        logits_BV: logits of the next token, any float type.
        uniform_B: one number in [0, 1) per sequence; it decides the draw, so equal numbers give
            equal tokens.
        temperature: 0 takes the most likely token.
        top_k: keep this many tokens; 0 or less keeps all.
        top_p: keep the most likely tokens that together reach this probability; 1 keeps all.
    """
    scale = temperature if temperature > 0 else 1.0
    logp_BV = (logits_BV.float() / scale).log_softmax(dim=1)
    if temperature == 0:
        token_B = logp_BV.argmax(dim=1)
    else:
        token_B = _draw(_cut(logp_BV, top_k, top_p), uniform_B.to(logp_BV.device))
    return token_B, logp_BV.gather(1, token_B[:, None])[:, 0]


def _cut(logp_BV: Tensor, top_k: int, top_p: float) -> Tensor:
    """Return probabilities, not normalized, with those outside top-k and then top-p set to 0."""
    prob_BV = logp_BV.exp()
    if 0 < top_k < prob_BV.shape[1]:
        kept = prob_BV.topk(top_k, dim=1)
        prob_BV = torch.zeros_like(prob_BV).scatter(1, kept.indices, kept.values)
    if top_p < 1:
        ordered = prob_BV.sort(dim=1, descending=True, stable=True)
        # A token stays when those before it do not reach top_p of what top-k left, so the first
        # always stays.
        before_BV = ordered.values.cumsum(dim=1) - ordered.values
        limit_B1 = top_p * prob_BV.sum(dim=1, keepdim=True)
        kept_BV = torch.where(before_BV < limit_B1, ordered.values, 0.0)
        prob_BV = torch.zeros_like(prob_BV).scatter(1, ordered.indices, kept_BV)
    return prob_BV


def _draw(prob_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Invert the cumulative distribution, in float64: float32 cannot resolve rare tokens."""
    total_BV = prob_BV.double().cumsum(dim=1)
    point_B1 = uniform_B[:, None] * total_BV[:, -1:]
    # `right` skips tokens of probability 0; the clamp covers a point rounded up to the total.
    token_B1 = torch.searchsorted(total_BV, point_B1, right=True)
    return token_B1.clamp(max=prob_BV.shape[1] - 1)[:, 0]
