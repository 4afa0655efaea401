"""Attention of a sampling pass: new rows join the pages, then see everything before them.

A pass mixes whole prompts, pieces of prompts, and single new tokens of many sequences. Prompts that
start in the pass attend among themselves, as in training. Everything else reads its pages: they are
gathered for a slice of sequences at a time, small enough that the copy is still in the processor's
cache when it is used. Query heads that share keys are computed as rows of one product.

Samples of one prompt begin with the same pages. Where that pays, all of them attend to those pages
in one product, each to the rest of its own, and the two results are joined by their sums of weights
(the same identity that flash attention joins its blocks by, arXiv:2205.14135, section 3.1; for
shared prefixes, arXiv:2402.05099).

Legend: N rows of a pass, M rows of a slice, B sequences of a slice, n rows of each, L keys of each,
P pages of each, H query heads, G key and value heads, R = H / G, d head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mint_runtime.sampler.layout import Family, Slice, Span, families, fresh, slices, slots
from mint_runtime.sampler.store import PageStore

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_NEVER = float("-inf")


class PagedPlan:
    """See `mint_runtime.model.attention.AttentionPlan`; for passes without gradients."""

    def __init__(self, store: PageStore, spans: Sequence[Span]) -> None:
        """Plan a pass whose rows are those of `spans`, in their order, none left out."""
        self._store = store
        self._slot_N = slots(spans, store)
        self._fresh = fresh(spans, store.device)
        self._spans = self._spans_apart = spans
        self._slices: dict[int | None, list[Slice]] = {}
        self._families: list[Family] = []
        # Only the kernel for CPUs hands out the sums of weights.
        if store.device.type == "cpu":
            self._families, self._spans_apart = families(spans, store)

    def attend(
        self,
        layer: int,
        q_NHd: Tensor,
        k_NGd: Tensor,
        v_NGd: Tensor,
        *,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """Return `[N, H, d]`. See `AttentionPlan`."""
        self._store.write(layer, self._slot_N, k_NGd, v_NGd)
        out_NHd = q_NHd.new_empty(q_NHd.shape)
        for part in self._fresh:
            rows = part.rows
            out_NHd[rows] = part.plan.attend(
                layer, q_NHd[rows], k_NGd[rows], v_NGd[rows], scale=scale, window=window
            )
        if self._families and window is None:
            self._attend_apart(layer, q_NHd, scale, out_NHd)
            return out_NHd
        for each in self._slices_within(window):
            out_NHd[each.rows], _ = self._attend_slice(layer, each, q_NHd[each.rows], scale, window)
        return out_NHd

    def _slices_within(self, window: int | None) -> list[Slice]:
        if window not in self._slices:
            # What families share is read apart only where everything is seen.
            spans = self._spans_apart if window is None else self._spans
            self._slices[window] = slices(spans, self._store, window)
        return self._slices[window]

    def _attend_apart(self, layer: int, q_NHd: Tensor, scale: float, out_NHd: Tensor) -> None:
        """Fill the rows that read pages: what families share, then the rest, then both joined."""
        log_sum_NH = q_NHd.new_empty(q_NHd.shape[:2], dtype=torch.float32)
        for each in self._slices_within(None):
            rows = each.rows
            out_NHd[rows], log_sum_NH[rows] = self._attend_slice(
                layer, each, q_NHd[rows], scale, None
            )
        for family in self._families:
            rows = family.rows
            shared_MHd, log_sum_MH = self._attend_pages(
                layer, family.page_1P, q_NHd[rows], len(q_NHd[rows]), scale, None
            )
            share_MH = torch.sigmoid(log_sum_MH - log_sum_NH[rows]).to(q_NHd.dtype)
            out_NHd[rows] = torch.lerp(out_NHd[rows], shared_MHd, share_MH[:, :, None])

    def _attend_slice(
        self, layer: int, part: Slice, q_MHd: Tensor, scale: float, window: int | None
    ) -> tuple[Tensor, Tensor]:
        if part.mask is None:
            sizes = self._store.sizes
            per_head = q_MHd.shape[1] // sizes.num_heads
            num_keys = part.page_BP.shape[1] * sizes.page_size
            part.mask = _mask(part, num_keys, per_head, window, q_MHd)
        return self._attend_pages(layer, part.page_BP, q_MHd, part.num_rows, scale, part.mask)

    def _attend_pages(
        self,
        layer: int,
        page_BP: Tensor,
        q_MHd: Tensor,
        num_rows: int,
        scale: float,
        mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the result `[M, H, d]` and the logarithms of the sums of weights `[M, H]`."""
        k_BLGd, v_BLGd = self._store.read(layer, page_BP)
        num_sequences, _, num_heads, width = k_BLGd.shape
        per_head = q_MHd.shape[1] // num_heads
        q_BnGRd = q_MHd.reshape(num_sequences, num_rows, num_heads, per_head, width)
        q_BGMd = q_BnGRd.transpose(1, 2).reshape(num_sequences, num_heads, -1, width)
        out_BGMd, log_sum_BGM = _attend(
            q_BGMd, k_BLGd.transpose(1, 2), v_BLGd.transpose(1, 2), mask, scale
        )
        out_BGnRd = out_BGMd.view(num_sequences, num_heads, num_rows, per_head, width)
        log_sum_BGnR = log_sum_BGM.view(num_sequences, num_heads, num_rows, per_head)
        out_MHd = out_BGnRd.transpose(1, 2).reshape(q_MHd.shape)
        return out_MHd, log_sum_BGnR.transpose(1, 2).reshape(q_MHd.shape[:2])


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Call the kernel of the device; a GPU gives no sums, so what stands for them means nothing."""
    if q.device.type == "cpu":
        out, log_sum = _flash(q, k, v, 0.0, False, attn_mask=mask, scale=scale)
        return out, log_sum
    out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return out, q.new_empty(q.shape[:3])


def _mask(part: Slice, num_keys: int, per_head: int, window: int | None, like: Tensor) -> Tensor:
    """Return what is added to the products, `[B, 1, n * R, L]`."""
    position_Bn = part.past_B[:, None] + torch.arange(part.num_rows, device=like.device)
    key_L = torch.arange(num_keys, device=like.device)
    distance_BnL = position_Bn[:, :, None] - key_L
    is_hidden_BnL = distance_BnL < 0
    if window is not None:
        is_hidden_BnL |= distance_BnL >= window
    mask_BnL = like.new_zeros(distance_BnL.shape).masked_fill_(is_hidden_BnL, _NEVER)
    return mask_BnL.repeat_interleave(per_head, dim=1)[:, None]
