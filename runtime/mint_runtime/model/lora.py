"""LoRA over one set of frozen weights: many adapters in one pass, each on its own rows.

Every linear layer an adapter may touch is wrapped once, when the base model is loaded. A pass runs
under a `LoraPlan` that says which rows belong to which adapter and where the gradient of each goes.
The update is `scaling * x A^T B^T`, added to the layer's own output, so a weight shared with the
embedding (tied models) is never written to and the embedding never sees the update.

Frozen weights need no gradient and the matrices of an adapter are few: one function computes layer
and updates together, forward and backward, and adds each adapter's gradient to its buffer.

Legend: N rows, n rows of one adapter, R rank, I inputs of a layer, O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mint_runtime.model.adapter import Adapter, Gradient, LoraPair

ATTENTION, MLP, UNEMBED = "attn", "mlp", "unembed"
_ATTENTION_PARTS = frozenset({"self_attn", "attn", "attention", "self_attention"})
_MLP_PARTS = frozenset({"mlp", "feed_forward", "ffn", "block_sparse_moe"})
# Fewer parts are as fast one by one.
_MIN_EVEN_PARTS = 3
# The router of a mixture of experts sits inside the MLP, but moving it changes which expert runs.
_ROUTERS = frozenset({"gate", "router"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoraRows:
    """Rows `start` to `end` of a pass use `adapter`; its derivative is added to `gradient`."""

    start: int
    end: int
    adapter: Adapter
    gradient: Gradient | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoraPart:
    """What one adapter does to some rows in one layer."""

    start: int
    end: int
    pair: LoraPair
    """In the type the layer computes in."""
    scaling: float
    gradient: LoraPair | None


class LoraPlan:
    """Which rows of a pass use which adapter. Rows of none run on the base model alone."""

    def __init__(self, rows: Sequence[LoraRows]) -> None:
        """Take ranges that do not overlap, in ascending order."""
        self.rows = tuple(rows)

    @classmethod
    def whole(
        cls, adapter: Adapter | None, num_rows: int, gradient: Gradient | None = None
    ) -> LoraPlan:
        """Return the plan of a pass whose rows all use one adapter, or none."""
        if adapter is None:
            return cls(())
        return cls((LoraRows(start=0, end=num_rows, adapter=adapter, gradient=gradient),))

    def parts(self, name: str, dtype: torch.dtype) -> list[LoraPart]:
        """Return what happens in the layer called `name`, which computes in `dtype`."""
        found = []
        for rows in self.rows:
            pair = rows.adapter.pairs.get(name)
            if pair is None or rows.start == rows.end:
                continue
            if pair.a_RI.dtype != dtype:
                pair = LoraPair(a_RI=pair.a_RI.to(dtype), b_OR=pair.b_OR.to(dtype))
            found.append(
                LoraPart(
                    start=rows.start,
                    end=rows.end,
                    pair=pair,
                    scaling=rows.adapter.scaling,
                    gradient=rows.gradient.pairs[name] if rows.gradient else None,
                )
            )
        return found

    def narrow(self, start: int, end: int) -> LoraPlan:
        """Return the plan of rows `start` to `end` alone."""
        return LoraPlan(
            [
                LoraRows(
                    start=max(rows.start, start) - start,
                    end=min(rows.end, end) - start,
                    adapter=rows.adapter,
                    gradient=rows.gradient,
                )
                for rows in self.rows
                if rows.start < end and rows.end > start
            ]
        )

    def select(self, row_n: Tensor) -> LoraPlan:
        """Return the plan of a selection of rows, given by their ascending numbers."""
        edges = torch.tensor([edge for rows in self.rows for edge in (rows.start, rows.end)])
        places = torch.searchsorted(row_n.cpu(), edges).tolist()
        return LoraPlan(
            [
                LoraRows(start=start, end=end, adapter=rows.adapter, gradient=rows.gradient)
                for rows, start, end in zip(self.rows, places[::2], places[1::2], strict=True)
            ]
        )


class LoraContext:
    """The plan of the pass that runs, shared by all wrapped layers of a base model."""

    def __init__(self) -> None:
        self.plan = LoraPlan(())

    @contextmanager
    def under(self, plan: LoraPlan) -> Iterator[None]:
        """Run the body, forward and backward, under `plan`. Does not nest."""
        self.plan = plan
        try:
            yield
        finally:
            self.plan = LoraPlan(())


class LoraLinear(nn.Module):
    """A frozen linear layer plus the updates that the plan of the pass asks for."""

    def __init__(self, base: nn.Linear, *, name: str, group: str, context: LoraContext) -> None:
        """Wrap `base`, called `name` in its model; `group` is `attn`, `mlp` or `unembed`."""
        super().__init__()
        self.base = base
        self.name = name
        self.group = group
        self.context = context

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
        """Map `[..., I]` to `[..., O]`; the rows of the plan are the leading dimensions of `x`."""
        parts = self.context.plan.parts(self.name, x.dtype)
        if not parts:
            y: Tensor = self.base(x)
            return y
        y_NO = lora_linear(x.reshape(-1, x.shape[-1]), self.base.weight, self.base.bias, parts)
        return y_NO.view(*x.shape[:-1], -1)


def lora_linear(
    x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, parts: Sequence[LoraPart]
) -> Tensor:
    """Return `x W^T + bias` with the update of each part added to its rows, `[N, O]`.

    The derivative flows to `x_NI`; those of the matrices are added to the parts' gradients.
    """
    if torch.is_grad_enabled() and x_NI.requires_grad:
        return _differentiable(x_NI, weight_OI, bias_O, parts)
    return _forward(x_NI, weight_OI, bias_O, parts)[0]


def project(x_NI: Tensor, parts: Sequence[LoraPart]) -> list[Tensor]:
    """Return what `add_update_gradients` wants to know of the forward pass."""
    if is_even(parts):
        return [EvenParts(parts).project(x_NI)]
    return [x_NI[part.start : part.end] @ part.pair.a_RI.T for part in parts]


def _forward(
    x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, parts: Sequence[LoraPart]
) -> tuple[Tensor, list[Tensor]]:
    y_NO = functional.linear(x_NI, weight_OI, bias_O)
    if is_even(parts):
        return y_NO, [EvenParts(parts).add_updates(x_NI, y_NO)]
    lows = project(x_NI, parts)
    for part, low_nR in zip(parts, lows, strict=True):
        y_NO[part.start : part.end].addmm_(low_nR, part.pair.b_OR.T, alpha=part.scaling)
    return y_NO, lows


def add_update_gradients(
    parts: Sequence[LoraPart],
    x_NI: Tensor,
    lows: Sequence[Tensor],
    grad_NO: Tensor,
    grad_x_NI: Tensor,
) -> None:
    """Add the derivatives of updates to the parts' gradients and to that of the layer's input.

    Args:
        parts: the matrices, and where their gradients go.
        x_NI: the layer's input.
        lows: what the forward pass kept: `x A^T`, of each part or of all together.
        grad_NO: derivative by the layer's output.
        grad_x_NI: derivative by `x_NI` so far, added to in place.
    """
    if is_even(parts):
        EvenParts(parts).add_gradients(x_NI, lows[0], grad_NO, grad_x_NI)
        return
    for part, low_nR in zip(parts, lows, strict=True):
        rows = slice(part.start, part.end)
        grad_low_nR = (grad_NO[rows] @ part.pair.b_OR).mul_(part.scaling)
        if part.gradient is not None:
            _add_product(part.gradient.b_OR, grad_NO[rows].T, low_nR, part.scaling)
            _add_product(part.gradient.a_RI, grad_low_nR.T, x_NI[rows], 1.0)
        grad_x_NI[rows].addmm_(grad_low_nR, part.pair.a_RI)


def _add_product(total: Tensor, left: Tensor, right: Tensor, factor: float) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right, alpha=factor)
    else:
        total.add_((left @ right).to(total.dtype), alpha=factor)


def is_even(parts: Sequence[LoraPart]) -> bool:
    """Tell whether there are several parts, next to each other, all of the same size and rank, and
    all of them wanting a gradient or none.
    """
    if len(parts) < _MIN_EVEN_PARTS:
        return False
    if len({part.gradient is None for part in parts}) > 1:
        return False
    first = parts[0]
    size, rank = first.end - first.start, len(first.pair.a_RI)
    return all(
        part.start == first.start + number * size
        and part.end == part.start + size
        and len(part.pair.a_RI) == rank
        for number, part in enumerate(parts)
    )


class EvenParts:
    """Parts of one size and rank, as batched products: many small clients cost like one.

    Legend: M parts.
    """

    def __init__(self, parts: Sequence[LoraPart]) -> None:
        """Stack the matrices of the parts, for which `is_even` holds."""
        self._parts = parts
        self._rows = slice(parts[0].start, parts[-1].end)
        self._a_MRI = torch.stack([part.pair.a_RI for part in parts])
        self._b_MOR = torch.stack([part.pair.b_OR for part in parts])
        self._scaling_M11 = self._a_MRI.new_tensor([part.scaling for part in parts])[:, None, None]

    def _split(self, rows_NI: Tensor) -> Tensor:
        """View the rows of the parts as `[M, n, I]`."""
        return rows_NI[self._rows].unflatten(0, (len(self._parts), -1))  # type: ignore[no-any-return, no-untyped-call]  # no hints upstream

    def project(self, x_NI: Tensor) -> Tensor:
        """Return `x A^T` scaled, `[M, n, R]`."""
        return torch.bmm(self._split(x_NI), self._a_MRI.mT).mul_(self._scaling_M11)

    def add_updates(self, x_NI: Tensor, y_NO: Tensor) -> Tensor:
        """Add the updates to `y_NO` and return what `project` does."""
        low_MnR = self.project(x_NI)
        self._split(y_NO).baddbmm_(low_MnR, self._b_MOR.mT)
        return low_MnR

    def add_gradients(
        self, x_NI: Tensor, low_MnR: Tensor, grad_NO: Tensor, grad_x_NI: Tensor
    ) -> None:
        """Do what `add_update_gradients` says."""
        grad_MnO = self._split(grad_NO)
        grad_low_MnR = torch.bmm(grad_MnO, self._b_MOR).mul_(self._scaling_M11)
        gradients = [part.gradient for part in self._parts if part.gradient is not None]
        if len(gradients) == len(self._parts):
            self._add([each.b_OR for each in gradients], torch.bmm(grad_MnO.mT, low_MnR))
            self._add(
                [each.a_RI for each in gradients], torch.bmm(grad_low_MnR.mT, self._split(x_NI))
            )
        self._split(grad_x_NI).baddbmm_(grad_low_MnR, self._a_MRI)

    @staticmethod
    def _add(totals: list[Tensor], parts: Tensor) -> None:
        torch._foreach_add_(  # pyright: ignore[reportPrivateImportUsage]  # no public name
            totals, list(parts.to(totals[0].dtype).unbind())
        )


class _LoraLinear(torch.autograd.Function):
    """`lora_linear` with the derivative written out: nothing is kept but the input and `x A^T`."""

    @staticmethod
    def forward(
        ctx: Any,
        x_NI: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        parts: Sequence[LoraPart],
    ) -> Tensor:
        y_NO, lows = _forward(x_NI, weight_OI, bias_O, parts)
        ctx.save_for_backward(x_NI, weight_OI, *lows)
        ctx.parts = parts
        return y_NO

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad_NO,) = grad_outputs
        x_NI, weight_OI, *lows = ctx.saved_tensors
        grad_x_NI = grad_NO @ weight_OI
        add_update_gradients(ctx.parts, x_NI, lows, grad_NO, grad_x_NI)
        return grad_x_NI, None, None, None


_differentiable: Callable[..., Tensor] = _LoraLinear.apply


def wrap_linears(
    model: nn.Module, unembedding: nn.Module, context: LoraContext
) -> dict[str, LoraLinear]:
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
        wrapped[name] = LoraLinear(linear, name=name, group=group, context=context)
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
