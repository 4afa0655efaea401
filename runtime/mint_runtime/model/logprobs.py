"""Log-probabilities of given tokens, without ever holding the logits of all positions.

Logits are made for a slice of positions at a time. When gradients are wanted and there is more than
one slice, each slice is recomputed in the backward pass, so peak memory is one slice of `[n, V]`
whatever the batch.

Legend: N positions, n positions of a slice, K targets per position, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

MAX_SLICE_LOGITS = 2**24
"""Logits per slice: 64 MiB in float32, which is 110 positions of a 152k vocabulary."""

Unembed = Callable[[Tensor], Tensor]


def target_logprobs(
    hidden_ND: Tensor,
    unembed: Unembed,
    target_NK: Tensor,
    *,
    vocab_size: int,
    max_slice_logits: int = MAX_SLICE_LOGITS,
) -> Tensor:
    """Return the log-probability `[N, K]` of each target, in nats, float32.

    Args:
        hidden_ND: last hidden states, after the final norm. Gradients flow back to them.
        unembed: maps `[n, D]` to logits `[n, V]`; gradients reach the parameters it uses.
        target_NK: int64 token ids.
        vocab_size: V.
        max_slice_logits: how many logits may exist at once.
    """
    if len(hidden_ND) == 0:
        return hidden_ND.new_zeros(target_NK.shape, dtype=torch.float32)
    num_rows = max(1, max_slice_logits // vocab_size)

    def slice_logprobs(hidden_nD: Tensor, target_nK: Tensor) -> Tensor:
        logits_nV = unembed(hidden_nD).float()
        return logits_nV.gather(1, target_nK) - logits_nV.logsumexp(dim=1, keepdim=True)

    recompute = torch.is_grad_enabled() and len(hidden_ND) > num_rows
    parts = []
    for hidden_nD, target_nK in zip(
        torch.split(hidden_ND, num_rows), torch.split(target_NK, num_rows), strict=True
    ):
        if recompute:
            part = checkpoint(
                slice_logprobs, hidden_nD, target_nK, use_reentrant=False, preserve_rng_state=False
            )
        else:
            part = slice_logprobs(hidden_nD, target_nK)
        parts.append(part)
    return torch.cat(parts)


def top_logprobs(
    hidden_ND: Tensor,
    unembed: Unembed,
    num_top: int,
    *,
    vocab_size: int,
    max_slice_logits: int = MAX_SLICE_LOGITS,
) -> tuple[Tensor, Tensor]:
    """Return the likeliest tokens and their log-probabilities, best first, `[N, num_top]` each."""
    num_rows = max(1, max_slice_logits // vocab_size)
    values, ids = [], []
    for hidden_nD in torch.split(hidden_ND, num_rows):
        top = unembed(hidden_nD).float().log_softmax(dim=1).topk(num_top, dim=1)
        values.append(top.values)
        ids.append(top.indices)
    return torch.cat(ids), torch.cat(values)
