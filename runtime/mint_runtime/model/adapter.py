"""Adapters: the low-rank matrices of one LoRA model, and its gradient, each in one flat buffer.

The matrices are views of the buffer, so copying, clipping and updating an adapter are operations on
one tensor whatever the number of its layers.

Legend: R rank, I inputs of a layer, O outputs of a layer, P numbers of an adapter. Source: LoRA,
arXiv:2106.09685, section 4.1; rank-stabilized scaling, arXiv:2312.03732.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

LORA_ALPHA = 32.0
"""Alpha of adapters made from a request: the API has no field for it, and servers of it use 32."""


class LoraLayer(Protocol):
    """What an adapter has to know of a layer that it can update."""

    @property
    def group(self) -> str:
        """Return `attn`, `mlp` or `unembed`."""
        ...

    @property
    def in_features(self) -> int:
        """Return I."""
        ...

    @property
    def out_features(self) -> int:
        """Return O."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoraPair:
    """The two matrices of one layer, or their gradients."""

    a_RI: Tensor
    b_OR: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gradient:
    """A gradient of an adapter, float32, in the adapter's own layout."""

    flat_P: Tensor
    pairs: Mapping[str, LoraPair]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adapter:
    """The matrices of one adapter by the name of their layer, in the model's layer order."""

    rank: int
    alpha: float
    flat_P: Tensor
    """Every matrix, float32 while it is trained; A before B, layer by layer."""
    pairs: Mapping[str, LoraPair]
    """Views of `flat_P`."""
    use_rslora: bool = False

    @classmethod
    def of(
        cls,
        matrices: Mapping[str, tuple[Tensor, Tensor]],
        *,
        rank: int,
        alpha: float,
        use_rslora: bool = False,
        device: torch.device | str = "cpu",
    ) -> Adapter:
        """Make an adapter of copies of these A `[R, I]` and B `[O, R]`."""
        parts = [matrix.reshape(-1) for pair in matrices.values() for matrix in pair]
        flat_P = torch.cat(parts) if parts else torch.empty(0)
        flat_P = flat_P.detach().to(device, torch.float32)
        shapes = {name: (a.shape[1], b.shape[0]) for name, (a, b) in matrices.items()}
        return cls(
            rank=rank,
            alpha=alpha,
            flat_P=flat_P,
            pairs=_views(flat_P, shapes, rank),
            use_rslora=use_rslora,
        )

    @property
    def scaling(self) -> float:
        """Return the factor of the update: alpha / rank, or alpha / sqrt(rank) if so asked."""
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

    def named_tensors(self) -> dict[str, Tensor]:
        """Return every matrix as `<layer>.lora_A` or `<layer>.lora_B`, in the order of `flat_P`."""
        return named_matrices(self.pairs)

    def parameters(self) -> list[Tensor]:
        """Return every matrix, in the order of `flat_P`."""
        return list(self.named_tensors().values())

    def views(self, flat_P: Tensor) -> dict[str, LoraPair]:
        """Return the matrices of another buffer with this adapter's layout."""
        shapes = {
            name: (pair.a_RI.shape[1], pair.b_OR.shape[0]) for name, pair in self.pairs.items()
        }
        return _views(flat_P, shapes, self.rank)

    def zero_gradient(self) -> Gradient:
        """Return a gradient of zeros."""
        flat_P = torch.zeros_like(self.flat_P, dtype=torch.float32)
        return Gradient(flat_P=flat_P, pairs=self.views(flat_P))

    def frozen_copy(self, dtype: torch.dtype | None = None) -> Adapter:
        """Return a copy that shares no memory with this adapter, of the type passes compute in."""
        flat_P = self.flat_P.detach().to(dtype=dtype or self.flat_P.dtype, copy=True)
        return Adapter(
            rank=self.rank,
            alpha=self.alpha,
            flat_P=flat_P,
            pairs=self.views(flat_P),
            use_rslora=self.use_rslora,
        )


def named_matrices(pairs: Mapping[str, LoraPair]) -> dict[str, Tensor]:
    """Return the matrices of `pairs` as `<layer>.lora_A` and `<layer>.lora_B`, in their order."""
    named = {}
    for name, pair in pairs.items():
        named[f"{name}.lora_A"] = pair.a_RI
        named[f"{name}.lora_B"] = pair.b_OR
    return named


def new_adapter(
    layers: Mapping[str, LoraLayer],
    *,
    rank: int,
    groups: frozenset[str],
    seed: int | None,
    device: torch.device | str = "cpu",
) -> Adapter:
    """Make an adapter that starts as the identity: A uniform within 1 / sqrt(I), B zero, as peft
    does.

    Args:
        layers: what the base model lets an adapter update, by name.
        rank: R.
        groups: which of `attn`, `mlp`, `unembed` to train.
        seed: the same seed gives the same matrices; None draws a fresh one.
        device: where the adapter lives.
    """
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed % 2**63)
    matrices = {}
    for name, layer in layers.items():
        if layer.group not in groups:
            continue
        # Drawn on the CPU so that a seed means the same matrices on every device.
        a_RI = torch.empty(rank, layer.in_features)
        nn.init.kaiming_uniform_(a_RI, a=math.sqrt(5), generator=generator)
        matrices[name] = (a_RI, torch.zeros(layer.out_features, rank))
    return Adapter.of(matrices, rank=rank, alpha=LORA_ALPHA, device=device)


def _views(flat_P: Tensor, shapes: Mapping[str, tuple[int, int]], rank: int) -> dict[str, LoraPair]:
    sizes = [rank * width for shape in shapes.values() for width in shape]
    parts = iter(torch.split(flat_P, sizes)) if sizes else iter(())
    return {
        name: LoraPair(
            a_RI=next(parts).view(rank, num_inputs), b_OR=next(parts).view(num_outputs, rank)
        )
        for name, (num_inputs, num_outputs) in shapes.items()
    }
