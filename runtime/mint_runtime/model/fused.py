"""Norms and attention blocks of known model families, with fewer and larger operations.

The families that are served share two building blocks. transformers computes each in many small
steps, every one of which autograd records; here a block's derivative is written out, and queries,
keys and values stay in the order in which packed attention reads them. What is computed is the
same, which is checked for every model that is loaded; blocks of other families stay as they are.

Legend: N rows, H query heads, G key and value heads, d head width, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.gemma3.modeling_gemma3 import Gemma3Attention, Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralAttention, MistralRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention, Qwen2RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3RMSNorm
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeAttention, Qwen3MoeRMSNorm

from mint_runtime.model.attention import AttentionPlan

_NORMS = (LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm, Qwen3RMSNorm, Qwen3MoeRMSNorm)
_ATTENTIONS = (
    Gemma3Attention,
    LlamaAttention,
    MistralAttention,
    Qwen2Attention,
    Qwen3Attention,
    Qwen3MoeAttention,
)


class FusedNorm(nn.Module):
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimension, computed in float32.

    Source: RMSNorm, arXiv:1910.07467, equation 4.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        """Take the factors as they are applied, `[D]`."""
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized rows, in the type of `x`."""
        if torch.is_grad_enabled() and x.requires_grad:
            return _differentiable_norm(x, self.weight, self.eps)
        return _normalize(x, self.weight, self.eps)[0]


def _normalize(x: Tensor, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the result and the factor each row was multiplied by."""
    exact = x.float()
    factor = exact.square().mean(dim=-1, keepdim=True).add_(eps).rsqrt_()
    return (exact * factor).mul_(weight_D).to(x.dtype), factor


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        y, factor = _normalize(x, weight_D, eps)
        ctx.save_for_backward(x, weight_D, factor)
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        x, weight_D, factor = ctx.saved_tensors
        exact = x.float()
        scaled = grad * weight_D
        # The factor itself depends on x: its derivative is -factor^3 / D * x.
        slope = (scaled * exact).mean(dim=-1, keepdim=True).mul_(factor).mul_(factor)
        return scaled.addcmul_(exact, slope, value=-1).mul_(factor).to(x.dtype), None, None


_differentiable_norm: Callable[..., Tensor] = _Norm.apply


class FusedAttention(nn.Module):
    """The attention block of the families above on packed rows."""

    def __init__(self, block: Any) -> None:
        """Take over the layers of a block of transformers, whose classes have no common type."""
        super().__init__()
        self.q_proj, self.k_proj = block.q_proj, block.k_proj
        self.v_proj, self.o_proj = block.v_proj, block.o_proj
        self.q_norm: nn.Module | None = getattr(block, "q_norm", None)
        self.k_norm: nn.Module | None = getattr(block, "k_norm", None)
        self._layer = int(block.layer_idx)
        self._head_width = int(block.head_dim)
        self._scale = float(block.scaling)
        self._window = _window(block)

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_plan: AttentionPlan,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """Map `[1, N, D]` to `[1, N, D]`.

        Args:
            hidden_states: rows of the pass.
            position_embeddings: cosines and sines of each row, `[1, N, d]`; both halves are alike.
            attention_plan: which rows see which.
        """
        x_ND = hidden_states[0]
        heads = (len(x_ND), -1, self._head_width)
        q_NHd, k_NGd = self.q_proj(x_ND).view(heads), self.k_proj(x_ND).view(heads)
        if self.q_norm is not None and self.k_norm is not None:
            q_NHd, k_NGd = self.q_norm(q_NHd), self.k_norm(k_NGd)
        cos_N1d, sin_N1d = (each[0, :, None] for each in position_embeddings)
        out_NHd = attention_plan.attend(
            self._layer,
            rotate(q_NHd, cos_N1d, sin_N1d),
            rotate(k_NGd, cos_N1d, sin_N1d),
            self.v_proj(x_ND).view(heads),
            scale=self._scale,
            window=self._window,
        )
        y_ND: Tensor = self.o_proj(out_NHd.reshape(len(x_ND), -1))
        return y_ND[None], None


def rotate(x: Tensor, cos_N1d: Tensor, sin_N1d: Tensor) -> Tensor:
    """Turn each pair of numbers half a head apart by the angle of its row.

    Source: rotary position embedding, arXiv:2104.09864, in the layout of the Llama family.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        return _differentiable_rotate(x, cos_N1d, sin_N1d)
    return _rotate(x, cos_N1d, sin_N1d, 1.0)


def _rotate(x: Tensor, cos_N1d: Tensor, sin_N1d: Tensor, sign: float) -> Tensor:
    y = x * cos_N1d
    half = x.shape[-1] // 2
    sin = sin_N1d[..., :half]
    y[..., :half].addcmul_(x[..., half:], sin, value=-sign)
    y[..., half:].addcmul_(x[..., :half], sin, value=sign)
    return y


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos_N1d: Tensor, sin_N1d: Tensor) -> Tensor:
        ctx.save_for_backward(cos_N1d, sin_N1d)
        return _rotate(x, cos_N1d, sin_N1d, 1.0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        # The derivative of a turn is the turn back.
        cos_N1d, sin_N1d = ctx.saved_tensors
        return _rotate(grad, cos_N1d, sin_N1d, -1.0), None, None


_differentiable_rotate: Callable[..., Tensor] = _Rotate.apply


def fuse(model: nn.Module) -> None:
    """Replace the norms and attention blocks of `model` that are known, in place."""
    for name, module in list(model.named_modules()):
        fused = _fused(module)
        if fused is not None:
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, fused)


def _fused(module: nn.Module) -> nn.Module | None:
    if isinstance(module, _NORMS):
        return FusedNorm(module.weight, module.variance_epsilon)
    if isinstance(module, Gemma3RMSNorm):
        return FusedNorm(1.0 + module.weight.float(), module.eps)
    if isinstance(module, _ATTENTIONS) and getattr(module, "is_causal", True):
        return FusedAttention(module)
    return None


def _window(block: nn.Module) -> int | None:
    """Return how many rows back the block sees; each family keeps this somewhere else."""
    if isinstance(block, LlamaAttention):
        return None
    holder = block.config if isinstance(block, MistralAttention) else block
    window: int | None = getattr(holder, "sliding_window", None)
    return window
