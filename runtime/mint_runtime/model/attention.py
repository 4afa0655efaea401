"""Attention over packed sequences: one row per token, no padding, no mask tensors.

The model code of transformers calls whatever attention is registered under its name. Ours hands the
queries, keys and values of a layer to the plan of the pass, which knows where sequences begin and
end. `CausalPlan` is the plan of whole sequences, with gradients; the sampler has one of its own,
whose keys and values live in pages.

Every sequence is computed by the same kernel on the same numbers wherever it lies in the pack, so a
result does not depend on what it was packed with.

Legend: N rows of a pass, T rows of one sequence, B sequences of equal length, H query heads, G key
and value heads, d head width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from mint_runtime.errors import UserError

IMPLEMENTATION = "mint_packed"
_HALF_TYPES = (torch.bfloat16, torch.float16)
_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class AttentionPlan(Protocol):
    """How the rows of one pass attend to each other."""

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
        """Return `[N, H, d]`.

        Args:
            layer: number of the layer, from 0.
            q_NHd: queries, positions already applied. Strides are free, the last dimension is not.
            k_NGd: keys, positions already applied; each serves H / G query heads.
            v_NGd: values.
            scale: factor of the products.
            window: how many rows back, itself included, a row sees; None sees all.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Sequences of equal length that follow each other, as one batch."""

    start: int
    length: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.length * self.count


class CausalPlan:
    """Whole sequences, one after the other; each row sees its own sequence up to itself."""

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        """Plan sequences of these lengths. Neighbours of equal length share a kernel call."""
        self.lengths = tuple(lengths)
        self._runs = _runs(self.lengths)
        self._device = device
        self._ends: Tensor | None = None

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
        if q_NHd.device.type != "cpu":
            if q_NHd.dtype in _HALF_TYPES:
                return self._attend_at_once(q_NHd, k_NGd, v_NGd, scale, window)
            return self._attend_by_run(q_NHd, k_NGd, v_NGd, scale, window)
        found: Tensor = _packed_attention(q_NHd, k_NGd, v_NGd, self._runs, scale, window)
        return found

    def _attend_by_run(
        self, q_NHd: Tensor, k_NGd: Tensor, v_NGd: Tensor, scale: float, window: int | None
    ) -> Tensor:
        """Attend with the kernel that every device and type has."""
        parts = []
        for run in self._runs:
            rows = slice(run.start, run.end)
            shape = (run.count, run.length)
            q, k, v = (
                each[rows].reshape(*shape, *each.shape[1:]).transpose(1, 2)
                for each in (q_NHd, k_NGd, v_NGd)
            )
            mask_TT = _window_mask(run.length, window, q_NHd)
            out = functional.scaled_dot_product_attention(
                q, k, v, mask_TT, is_causal=mask_TT is None, scale=scale, enable_gqa=True
            )
            parts.append(out.transpose(1, 2).flatten(0, 1))
        return torch.cat(parts)

    def _attend_at_once(
        self, q_NHd: Tensor, k_NGd: Tensor, v_NGd: Tensor, scale: float, window: int | None
    ) -> Tensor:
        """Attend with the kernel for sequences of any length, which GPUs have in half precision."""
        if self._ends is None:
            starts = torch.tensor((0, *self.lengths), dtype=torch.int32).cumsum(0)
            self._ends = starts.to(self._device, torch.int32)
        longest = max(self.lengths)
        found = varlen_attn(
            q_NHd.contiguous(),
            k_NGd.contiguous(),
            v_NGd.contiguous(),
            self._ends,
            self._ends,
            longest,
            longest,
            scale=scale,
            window_size=(-1 if window is None else window - 1, 0),
            enable_gqa=q_NHd.shape[1] != k_NGd.shape[1],
        )
        assert isinstance(found, Tensor)
        return found


def _runs(lengths: Sequence[int]) -> tuple[_Run, ...]:
    runs: list[_Run] = []
    start = 0
    for length in lengths:
        if runs and runs[-1].length == length:
            last = runs.pop()
            runs.append(_Run(start=last.start, length=length, count=last.count + 1))
        else:
            runs.append(_Run(start=start, length=length, count=1))
        start += length
    return tuple(runs)


def _batch(rows_NHd: Tensor, run: _Run) -> Tensor:
    """View the rows of a run as `[B, H, T, d]`."""
    rows_NHd = rows_NHd[run.start : run.end]
    num_heads, width = rows_NHd.shape[1:]
    strides = rows_NHd.stride()
    return rows_NHd.as_strided(
        (run.count, num_heads, run.length, width),
        (run.length * strides[0], strides[1], strides[0], strides[2]),
    )


def _window_mask(length: int, window: int | None, like: Tensor) -> Tensor | None:
    """Return what is added to the products of a windowed layer; None where the window is idle."""
    if window is None or window >= length:
        return None
    row_T = torch.arange(length, device=like.device)
    distance_TT = row_T[:, None] - row_T[None, :]
    is_hidden_TT = (distance_TT < 0) | (distance_TT >= window)
    return like.new_zeros(length, length).masked_fill_(is_hidden_TT, float("-inf"))


class _PackedAttention(torch.autograd.Function):
    """Flash attention of each run, written into one packed result."""

    @staticmethod
    def forward(
        ctx: Any,
        q_NHd: Tensor,
        k_NGd: Tensor,
        v_NGd: Tensor,
        runs: tuple[_Run, ...],
        scale: float,
        window: int | None,
    ) -> Tensor:
        out_NHd = q_NHd.new_empty(q_NHd.shape)
        sums = []
        for run in runs:
            mask_TT = _window_mask(run.length, window, q_NHd)
            out, sum_BHT = _flash(
                _batch(q_NHd, run),
                _batch(k_NGd, run),
                _batch(v_NGd, run),
                0.0,
                mask_TT is None,
                attn_mask=mask_TT,
                scale=scale,
            )
            _batch(out_NHd, run).copy_(out)
            sums.append(sum_BHT)
        ctx.save_for_backward(q_NHd, k_NGd, v_NGd, out_NHd, *sums)
        ctx.runs, ctx.scale, ctx.window = runs, scale, window
        return out_NHd

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad_NHd,) = grad_outputs
        q_NHd, k_NGd, v_NGd, out_NHd, *sums = ctx.saved_tensors
        found = tuple(tensor.new_empty(tensor.shape) for tensor in (q_NHd, k_NGd, v_NGd))
        for run, sum_BHT in zip(ctx.runs, sums, strict=True):
            mask_TT = _window_mask(run.length, ctx.window, q_NHd)
            parts = _flash_backward(
                _batch(grad_NHd, run),
                _batch(q_NHd, run),
                _batch(k_NGd, run),
                _batch(v_NGd, run),
                _batch(out_NHd, run),
                sum_BHT,
                0.0,
                mask_TT is None,
                attn_mask=mask_TT,
                scale=ctx.scale,
            )
            for whole, part in zip(found, parts, strict=True):
                _batch(whole, run).copy_(part)
        return (*found, None, None, None)


_packed_attention: Callable[..., Tensor] = _PackedAttention.apply


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    attention_plan: AttentionPlan | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Do what transformers asks of an attention: `[1, heads, N, d]` in, `[1, N, heads, d]` out.

    Without a plan the rows are one sequence. No mask arrives, as transformers makes none for an
    attention it has no mask function for.

    Raises:
        UserError: the model asks for something that plans do not do.
    """
    if softcap is not None or s_aux is not None or not getattr(module, "is_causal", True):
        raise UserError(
            "its attention is not plain causal attention (capped products, sinks, or both "
            "directions), which this runtime does not support"
        )
    plan = attention_plan or CausalPlan((query.shape[2],), query.device)
    out_NHd = plan.attend(
        int(module.layer_idx),  # type: ignore[arg-type]  # every attention of transformers has one
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        scale=scaling,
        window=sliding_window,
    )
    return out_NHd[None], None


AttentionInterface.register(IMPLEMENTATION, _attend)
