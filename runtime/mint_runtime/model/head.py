"""The output layer: log-probabilities of given tokens, without ever holding the logits of all rows.

Logits exist for a slice of rows at a time. The derivative comes in a second walk over the slices,
because a loss is known only when every log-probability is: it makes the logits again for the rows
that the loss depends on, and skips the others (a prompt has none). Where all logits together are
small, what is needed of them is kept instead.

Legend: N rows, n rows of a slice, K targets per row, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mint_runtime.model.load import BaseModel
from mint_runtime.model.lora import LoraPlan, add_update_gradients, lora_linear, project

# float32 numbers in one slice. A slice that stays in the caches is the fastest on a CPU; a GPU
# wants thousands of rows in one product.
_SLICE_LOGITS = {"cpu": 2**21, "cuda": 2**28}
_MIN_SLICE_ROWS = 32
# Logits of a pass, up to which they are kept for the way back rather than made again.
_KEPT_LOGITS = 2**23


def slice_rows(base: BaseModel) -> int:
    """Return how many rows have logits at a time."""
    budget = _SLICE_LOGITS.get(base.device.type, _SLICE_LOGITS["cuda"])
    return max(_MIN_SLICE_ROWS, budget // base.vocab_size)


def slices(num_rows: int, size: int) -> Iterator[slice]:
    """Yield the slices of `num_rows` rows."""
    return (slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size))


@torch.no_grad()
def logits(base: BaseModel, hidden_nD: Tensor, plan: LoraPlan) -> Tensor:
    """Return `[n, V]` in float32; `plan` is that of these rows."""
    head = base.unembedding
    parts = plan.parts(head.name, hidden_nD.dtype)
    return lora_linear(hidden_nD, head.weight, head.bias, parts).float()


@torch.no_grad()
def head_backward(base: BaseModel, hidden_nD: Tensor, grad_nV: Tensor, plan: LoraPlan) -> Tensor:
    """Return the derivative by the hidden states `[n, D]`; those of adapters go to their gradients.

    Args:
        base: the model.
        hidden_nD: what the logits were made of.
        grad_nV: derivative by the logits.
        plan: the adapters of these rows.
    """
    head = base.unembedding
    grad_nV = grad_nV.to(hidden_nD.dtype)
    grad_nD = grad_nV @ head.weight
    parts = plan.parts(head.name, hidden_nD.dtype)
    lows = project(hidden_nD, parts)
    add_update_gradients(parts, hidden_nD, lows, grad_nV, grad_nD)
    return grad_nD


class TargetLogprobs:
    """Log-probabilities of the targets of one pass, and their derivative."""

    @torch.no_grad()
    def __init__(
        self,
        base: BaseModel,
        hidden_ND: Tensor,
        target_NK: Tensor,
        plan: LoraPlan,
        *,
        backward: bool = True,
    ) -> None:
        """Compute them.

        Args:
            base: the model.
            hidden_ND: last hidden states, after the final norm.
            target_NK: int64 token ids.
            plan: the adapters of these rows.
            backward: whether the derivative will be asked for.
        """
        self._base, self._plan = base, plan
        self._hidden_ND, self._target_NK = hidden_ND.detach(), target_NK
        self._size = slice_rows(base)
        self._is_kept = backward and len(hidden_ND) * base.vocab_size <= _KEPT_LOGITS
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        """Weights and their sums by the first row of their slice, if they are kept."""
        parts = [self._logprobs(rows) for rows in slices(len(hidden_ND), self._size)]
        self.logp_NK = torch.cat([logp_nK for logp_nK, _ in parts])
        """In nats, float32 `[N, K]`."""
        self._log_sum_N1 = torch.cat([log_sum_n1 for _, log_sum_n1 in parts])

    def _logprobs(self, rows: slice) -> tuple[Tensor, Tensor]:
        plan = self._plan.narrow(rows.start, rows.stop)
        logits_nV = logits(self._base, self._hidden_ND[rows], plan)
        target_nK = logits_nV.gather(1, self._target_NK[rows])
        best_n1 = logits_nV.amax(dim=1, keepdim=True)
        weight_nV = logits_nV.sub_(best_n1).exp_()
        total_n1 = weight_nV.sum(dim=1, keepdim=True)
        if self._is_kept:
            self._kept[rows.start] = (weight_nV, total_n1)
        log_sum_n1 = best_n1 + total_n1.log()
        return target_nK - log_sum_n1, log_sum_n1

    @torch.no_grad()
    def backward(self, grad_NK: Tensor) -> Tensor:
        """Return the derivative of the loss by the hidden states, `[N, D]`. Call it once.

        Args:
            grad_NK: derivative of the loss by each log-probability.
        """
        grad_ND = torch.zeros_like(self._hidden_ND)
        row_n = grad_NK.any(dim=1).nonzero()[:, 0]
        if self._kept or len(row_n) == len(grad_NK):
            for rows in slices(len(grad_NK), self._size):
                plan = self._plan.narrow(rows.start, rows.stop)
                kept = self._kept.pop(rows.start, None)
                grad_ND[rows] = self._backward(rows, grad_NK[rows], plan, kept)
            return grad_ND
        plan = self._plan.select(row_n)
        for chosen in slices(len(row_n), self._size):
            rows_n = row_n[chosen]
            part = plan.narrow(chosen.start, chosen.stop)
            grad_ND[rows_n] = self._backward(rows_n, grad_NK[rows_n], part, None)
        return grad_ND

    def _backward(
        self,
        rows: slice | Tensor,
        grad_nK: Tensor,
        plan: LoraPlan,
        kept: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        hidden_nD = self._hidden_ND[rows]
        share_n1 = -grad_nK.sum(dim=1, keepdim=True)
        if kept is None:
            weight_nV = logits(self._base, hidden_nD, plan).sub_(self._log_sum_N1[rows]).exp_()
        else:
            weight_nV, total_n1 = kept
            share_n1 /= total_n1
        grad_nV = weight_nV.mul_(share_n1)
        grad_nV.scatter_add_(1, self._target_NK[rows], grad_nK)
        return head_backward(self._base, hidden_nD, grad_nV, plan)


@torch.no_grad()
def top_logprobs(
    base: BaseModel, hidden_ND: Tensor, num_top: int, plan: LoraPlan
) -> tuple[Tensor, Tensor]:
    """Return the likeliest tokens and their log-probabilities, best first, `[N, num_top]` each."""
    values, ids = [], []
    for rows in slices(len(hidden_ND), slice_rows(base)):
        part = plan.narrow(rows.start, rows.stop)
        top = logits(base, hidden_ND[rows], part).log_softmax(dim=1).topk(num_top, dim=1)
        values.append(top.values)
        ids.append(top.indices)
    return torch.cat(ids), torch.cat(values)
