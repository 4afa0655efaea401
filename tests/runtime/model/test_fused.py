"""Fused blocks against those of transformers, forward and backward."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.model.fused import FusedAttention, FusedNorm, fuse, rotate
from torch import nn
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm, apply_rotary_pos_emb

# Two orders of the same float32 operations.
RTOL, ATOL = 1e-5, 1e-6


@pytest.mark.parametrize("kind", [Qwen3RMSNorm, Gemma3RMSNorm])
@pytest.mark.parametrize("shape", [(7, 16), (5, 3, 16)], ids=["rows", "heads"])
def test_norm_equals_that_of_the_family(kind, shape):
    holder = nn.Sequential(kind(16, eps=1e-3))
    holder[0].weight.data.normal_(generator=torch.Generator().manual_seed(0))
    plain = holder[0]
    fuse(holder)
    ours = torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    slopes = torch.randn(shape, generator=torch.Generator().manual_seed(2))

    found, expected = holder[0](ours), plain(theirs)

    assert isinstance(holder[0], FusedNorm)
    torch.testing.assert_close(found, expected, rtol=RTOL, atol=ATOL)
    (found * slopes).sum().backward()
    (expected * slopes).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=ATOL)


def test_norm_keeps_bfloat16_and_computes_in_float32():
    norm = FusedNorm(torch.ones(64), 1e-6)
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)).bfloat16()

    found = norm(x)

    assert found.dtype == torch.bfloat16
    # bfloat16 keeps eight bits.
    torch.testing.assert_close(found.float(), norm(x.float()), rtol=2**-8, atol=0)


def test_rotation_equals_that_of_transformers():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 2, 8, generator=generator)
    angle = torch.randn(6, 4, generator=generator)
    cos, sin = torch.cat([angle, angle], 1).cos(), torch.cat([angle, angle], 1).sin()
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    slopes = torch.randn(6, 2, 8, generator=generator)

    found = rotate(ours, cos[:, None], sin[:, None])
    expected, _ = apply_rotary_pos_emb(theirs, theirs, cos, sin)

    torch.testing.assert_close(found, expected, rtol=RTOL, atol=ATOL)
    (found * slopes).sum().backward()
    (expected * slopes).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=RTOL, atol=ATOL)


def test_every_block_of_a_served_model_is_fused(base):
    modules = list(base.network.modules())

    assert sum(isinstance(module, FusedAttention) for module in modules) == len(
        base.network.base_model.layers
    )
    assert not any(isinstance(module, Qwen3RMSNorm) for module in modules)
