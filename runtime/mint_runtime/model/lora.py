"""LoRA: low-rank updates of frozen linear layers, many adapters over one set of base weights.

Every linear layer an adapter may touch is wrapped once, when the base model is loaded. An adapter
is a plain record of matrices kept outside the model; `activate` hands each wrapped layer its pair
for the duration of a pass. The update is `scaling * x A^T B^T`, added to the layer's own output,
so a weight shared with the embedding (tied models) is never written to and the embedding never
sees the update.

Legend: R rank, I inputs of a layer, O outputs of a layer. Source: LoRA, arXiv:2106.09685, section
4.1; rank-stabilized scaling, arXiv:2312.03732.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

LORA_ALPHA = 32.0
"""Alpha of adapters made from a request: the API has no field for it, and servers of it use 32."""

ATTENTION, MLP, UNEMBED = "attn", "mlp", "unembed"
_ATTENTION_PARTS = frozenset({"self_attn", "attn", "attention", "self_attention"})
_MLP_PARTS = frozenset({"mlp", "feed_forward", "ffn", "block_sparse_moe"})
# The router of a mixture of experts sits inside the MLP, but moving it changes which expert runs.
_ROUTERS = frozenset({"gate", "router"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoraPair:
    """The two matrices of one layer, float32."""

    a_RI: Tensor
    b_OR: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adapter:
    """The matrices of one adapter by the name of their layer, in the model's layer order."""

    rank: int
    alpha: float
    pairs: Mapping[str, LoraPair]
    use_rslora: bool = False

    @property
    def scaling(self) -> float:
        """Return the factor of the update: alpha / rank, or alpha / sqrt(rank) if so asked."""
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

    def named_tensors(self) -> dict[str, Tensor]:
        """Return every matrix as `<layer>.lora_A` or `<layer>.lora_B`, in a fixed order."""
        named = {}
        for name, pair in self.pairs.items():
            named[f"{name}.lora_A"] = pair.a_RI
            named[f"{name}.lora_B"] = pair.b_OR
        return named

    def parameters(self) -> list[Tensor]:
        """Return every matrix, in the order of `named_tensors`."""
        return list(self.named_tensors().values())

    def frozen_copy(self) -> Adapter:
        """Return a copy that shares no memory with this adapter and takes no gradient."""
        pairs = {
            name: LoraPair(a_RI=pair.a_RI.detach().clone(), b_OR=pair.b_OR.detach().clone())
            for name, pair in self.pairs.items()
        }
        return Adapter(rank=self.rank, alpha=self.alpha, pairs=pairs, use_rslora=self.use_rslora)


class LoraLinear(nn.Module):
    """A frozen linear layer plus the update of whichever adapter is active, if any."""

    def __init__(self, base: nn.Linear, group: str) -> None:
        """Wrap `base`; `group` is `attn`, `mlp` or `unembed`."""
        super().__init__()
        self.base = base
        self.group = group
        self.pair: LoraPair | None = None
        self.scaling = 0.0

    @property
    def weight(self) -> Tensor:
        """Return the frozen weight `[O, I]`; some model code reads it from its layers."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """Return the frozen bias `[O]`, if the layer has one."""
        return self.base.bias

    @property
    def in_features(self) -> int:
        """Return I."""
        return self.base.in_features

    @property
    def out_features(self) -> int:
        """Return O."""
        return self.base.out_features

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., I]` to `[..., O]`. Gradients reach `x` and the active pair only."""
        y: Tensor = self.base(x)
        if self.pair is None:
            return y
        low = functional.linear(x, self.pair.a_RI.to(x.dtype))
        return y + functional.linear(low, self.pair.b_OR.to(x.dtype)) * self.scaling


def wrap_linears(model: nn.Module, unembedding: nn.Module) -> dict[str, LoraLinear]:
    """Replace every adaptable linear layer of `model` in place; return the wrappers by layer name.

    Attention and MLP layers are told by the name of the block that holds them; `unembedding` is the
    output layer.
    """
    found = {
        name: (module, group)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and (group := _group(name, module is unembedding))
    }
    wrapped = {}
    for name, (linear, group) in found.items():
        parent, _, leaf = name.rpartition(".")
        wrapped[name] = LoraLinear(linear, group)
        setattr(model.get_submodule(parent), leaf, wrapped[name])
    return wrapped


def _group(name: str, is_unembedding: bool) -> str | None:
    if is_unembedding:
        return UNEMBED
    *blocks, leaf = name.split(".")
    if _ATTENTION_PARTS.intersection(blocks):
        return ATTENTION
    if _MLP_PARTS.intersection(blocks) and leaf not in _ROUTERS:
        return MLP
    return None


def new_adapter(
    layers: Mapping[str, LoraLinear], *, rank: int, groups: frozenset[str], seed: int | None
) -> Adapter:
    """Make an adapter that starts as the identity: A uniform within 1 / sqrt(I), B zero, as peft
    does.

    Args:
        layers: the wrapped layers of the base model.
        rank: R.
        groups: which of `attn`, `mlp`, `unembed` to train.
        seed: the same seed gives the same matrices; None draws a fresh one.
    """
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed % 2**63)
    pairs = {}
    for name, layer in layers.items():
        if layer.group not in groups:
            continue
        # Drawn on the CPU so that a seed means the same matrices on every device.
        a_RI = torch.empty(rank, layer.in_features)
        nn.init.kaiming_uniform_(a_RI, a=math.sqrt(5), generator=generator)
        pairs[name] = trainable_pair(a_RI, torch.zeros(layer.out_features, rank), layer)
    return Adapter(rank=rank, alpha=LORA_ALPHA, pairs=pairs)


def trainable_pair(a_RI: Tensor, b_OR: Tensor, layer: LoraLinear) -> LoraPair:
    """Return float32 copies on the device of `layer` that take gradients."""
    device = layer.weight.device
    return LoraPair(
        a_RI=a_RI.to(device, torch.float32, copy=True).requires_grad_(),
        b_OR=b_OR.to(device, torch.float32, copy=True).requires_grad_(),
    )


@contextmanager
def activate(layers: Mapping[str, LoraLinear], adapter: Adapter | None) -> Iterator[None]:
    """Run the body with `adapter` applied (None: the bare base model). Does not nest."""
    pairs = adapter.pairs if adapter else {}
    scaling = adapter.scaling if adapter else 0.0
    try:
        for name, layer in layers.items():
            layer.pair, layer.scaling = pairs.get(name), scaling
        yield
    finally:
        for layer in layers.values():
            layer.pair = None
