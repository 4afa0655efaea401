"""LoRA over a mixture of experts: each expert's three projections have a pair of their own.

transformers keeps the weights of a block's experts in two stacked tensors. The pairs are named as
if each expert were three linear layers (`...mlp.experts.3.gate_proj`), which are the names that
peft and vLLM read; within a pass the pairs of a block are used stacked too, as one view of the
adapter's buffer.

Every row goes to several experts. The copies are sorted by expert, so each expert multiplies one
contiguous group, and so does each of its pairs: an adapter's copies are sorted by expert among
themselves. The router is frozen and sees the rows before any of this; the derivative by its scores
is left to autograd.

Legend: N rows of a pass, K experts per row, S = N K copies, n copies of one adapter, E experts,
D width, F inner width, R rank, I inputs of a projection, O outputs of a projection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeExperts

from mint_runtime.errors import UserError
from mint_runtime.model.adapter import LoraPair
from mint_runtime.model.grouped import Groups, add_grouped_outer, grouped_matmul
from mint_runtime.model.lora import MLP, LoraContext, LoraRows

GATE, UP, DOWN = "gate_proj", "up_proj", "down_proj"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertLayer:
    """One projection of one expert, as an adapter sees it."""

    block: str
    """Name of the module that holds all experts of the block."""
    projection: str
    in_features: int
    out_features: int
    group: str = MLP


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Slot:
    """The pairs of all experts for some outputs of a stacked weight."""

    start: int
    end: int
    a_ERI: Tensor
    b_EOR: Tensor
    scaling: float
    gradient: tuple[Tensor, Tensor] | None
    """Views of the gradient's buffer, shaped as the two above."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """What one adapter does to its copies in one stacked weight."""

    row_n: Tensor | None
    """Places of the copies among all of them; None if these are all, in order."""
    groups: Groups
    slots: Sequence[_Slot]


class LoraExperts(nn.Module):
    """The frozen experts of one block plus the updates that the plan of the pass asks for."""

    # The weights and sizes of a module of transformers have no types.
    base: Any

    def __init__(self, base: Qwen3MoeExperts, *, name: str, context: LoraContext) -> None:
        """Wrap `base`, called `name` in its model."""
        super().__init__()
        self.base = base
        self.name = name
        self.context = context
        self._names = {
            projection: [f"{name}.{expert}.{projection}" for expert in range(self.base.num_experts)]
            for projection in (GATE, UP, DOWN)
        }

    def layers(self) -> dict[str, ExpertLayer]:
        """Return what an adapter may update, projection by projection and expert by expert."""
        width, inner = self.base.hidden_dim, self.base.intermediate_dim
        sizes = {GATE: (width, inner), UP: (width, inner), DOWN: (inner, width)}
        return {
            name: ExpertLayer(
                block=self.name,
                projection=projection,
                in_features=sizes[projection][0],
                out_features=sizes[projection][1],
            )
            for projection, names in self._names.items()
            for name in names
        }

    def forward(self, x_ND: Tensor, expert_NK: Tensor, weight_NK: Tensor) -> Tensor:
        """Return the weighted sum of each row's experts, `[N, D]`.

        Args:
            x_ND: rows of the pass.
            expert_NK: int64 numbers of the experts of each row.
            weight_NK: factors of their outputs; gradients flow here and to `x_ND`.
        """
        num_chosen = expert_NK.shape[1]
        order_S, groups = _sorted_by_expert(expert_NK, self.base.num_experts)
        place_S = torch.empty_like(order_S)
        place_S[order_S] = torch.arange(len(order_S), device=order_S.device)
        shares = self._shares(expert_NK, place_S, groups)
        inner = self.base.intermediate_dim
        columns = {GATE: (0, inner), UP: (inner, 2 * inner)}
        both_SF = _expert_linear(
            x_ND[order_S // num_chosen],
            self.base.gate_up_proj,
            groups,
            self._parts(shares, columns, x_ND.dtype),
        )
        gate_SF, up_SF = both_SF.chunk(2, dim=-1)
        out_SD = _expert_linear(
            self.base.act_fn(gate_SF) * up_SF,
            self.base.down_proj,
            groups,
            self._parts(shares, {DOWN: (0, self.base.hidden_dim)}, x_ND.dtype),
        )
        out_SD = out_SD * weight_NK.reshape(-1)[order_S, None]
        # A gather and a sum add the copies of a row in the same order every time.
        return out_SD[place_S].view(-1, num_chosen, out_SD.shape[-1]).sum(1).to(x_ND.dtype)

    def _shares(
        self, expert_NK: Tensor, place_S: Tensor, groups: Groups
    ) -> list[tuple[LoraRows, Tensor | None, Groups]]:
        """Return the copies of each adapter that covers this block, sorted by expert."""
        num_rows, num_chosen = expert_NK.shape
        shares: list[tuple[LoraRows, Tensor | None, Groups]] = []
        for rows in self.context.plan.rows:
            if rows.start == rows.end or not self._covered(rows):
                continue
            if (rows.start, rows.end) == (0, num_rows):
                shares.append((rows, None, groups))
                continue
            order_n, own = _sorted_by_expert(
                expert_NK[rows.start : rows.end], self.base.num_experts
            )
            copies = slice(rows.start * num_chosen, rows.end * num_chosen)
            shares.append((rows, place_S[copies][order_n], own))
        return shares

    def _covered(self, rows: LoraRows) -> set[str]:
        """Return the projections that an adapter covers, which it does for all experts."""
        return {name for name, names in self._names.items() if names[0] in rows.adapter.pairs}

    def _parts(
        self,
        shares: Iterable[tuple[LoraRows, Tensor | None, Groups]],
        columns: Mapping[str, tuple[int, int]],
        dtype: torch.dtype,
    ) -> list[_Part]:
        """Return what the adapters do in one stacked weight, whose outputs are `columns`."""
        return [
            _Part(
                row_n=row_n,
                groups=groups,
                slots=[
                    self._slot(rows, projection, start, end, dtype)
                    for projection, (start, end) in columns.items()
                    if projection in self._covered(rows)
                ],
            )
            for rows, row_n, groups in shares
        ]

    def _slot(
        self, rows: LoraRows, projection: str, start: int, end: int, dtype: torch.dtype
    ) -> _Slot:
        names = self._names[projection]
        a_ERI, b_EOR = _stacked(rows.adapter.pairs, names)
        return _Slot(
            start=start,
            end=end,
            a_ERI=a_ERI.to(dtype),
            b_EOR=b_EOR.to(dtype),
            scaling=rows.adapter.scaling,
            gradient=_stacked(rows.gradient.pairs, names) if rows.gradient else None,
        )


def wrap_experts(model: nn.Module, context: LoraContext) -> dict[str, ExpertLayer]:
    """Replace every mixture of experts of `model` in place; return its layers by name.

    Raises:
        UserError: a mixture is of a kind whose experts cannot be trained here.
    """
    layers: dict[str, ExpertLayer] = {}
    for name, module in list(model.named_modules()):
        parent, _, leaf = name.rpartition(".")
        if isinstance(module, Qwen3MoeExperts):
            wrapped = LoraExperts(module, name=name, context=context)
            setattr(model.get_submodule(parent), leaf, wrapped)
            layers.update(wrapped.layers())
        elif leaf == "experts":
            raise UserError(
                f"`{name}` is a mixture of experts of the class {type(module).__name__}, which "
                "cannot be trained here; only that of Qwen3-MoE can"
            )
    return layers


def find_uneven_experts(
    covered: Mapping[str, Any], layers: Mapping[str, object]
) -> tuple[str, str] | None:
    """Return a covered layer and one that is not, of two experts of a block, if there are such.

    An adapter covers a projection of all experts of a block, or of none.
    """
    first: dict[tuple[str, str], str] = {}
    experts = {name: layer for name, layer in layers.items() if isinstance(layer, ExpertLayer)}
    for name, layer in experts.items():
        if name in covered:
            first.setdefault((layer.block, layer.projection), name)
    for name, layer in experts.items():
        sibling = first.get((layer.block, layer.projection))
        if sibling and name not in covered:
            return sibling, name
    return None


def _sorted_by_expert(expert_NK: Tensor, num_experts: int) -> tuple[Tensor, Groups]:
    """Return the copies in the order of their experts, and where each expert's end."""
    sorted_S, order_S = expert_NK.reshape(-1).sort(stable=True)
    every_E = torch.arange(num_experts, device=expert_NK.device)
    ends_E = torch.searchsorted(sorted_S, every_E, right=True, out_int32=True)
    return order_S, Groups(ends_E)


def _stacked(pairs: Mapping[str, LoraPair], names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return A `[E, R, I]` and B `[E, O, R]` of these layers as views of their buffer."""
    first, last = pairs[names[0]], pairs[names[-1]]
    num_gaps = max(1, len(names) - 1)
    stacked = []
    for of_first, of_last in ((first.a_RI, last.a_RI), (first.b_OR, last.b_OR)):
        step, rest = divmod(int(of_last.storage_offset() - of_first.storage_offset()), num_gaps)
        assert rest == 0, f"the pairs from `{names[0]}` on are not equally spaced"
        size, stride = of_first.shape, of_first.stride()
        stacked.append(of_first.as_strided((len(names), *size), (step, *stride)))
    return stacked[0], stacked[1]


def _expert_linear(
    x_SI: Tensor, weight_EOI: Tensor, groups: Groups, parts: Sequence[_Part]
) -> Tensor:
    """Return each copy times the weight of its expert, updates added, `[S, O]`."""
    if torch.is_grad_enabled() and x_SI.requires_grad:
        y_SO: Tensor = _ExpertLinear.apply(  # type: ignore[no-untyped-call]  # no hints upstream
            x_SI, weight_EOI, groups, parts
        )
        return y_SO
    return _forward(x_SI, weight_EOI, groups, parts)[0]


def _forward(
    x_SI: Tensor, weight_EOI: Tensor, groups: Groups, parts: Sequence[_Part]
) -> tuple[Tensor, list[Tensor]]:
    y_SO = grouped_matmul(x_SI, weight_EOI.mT, groups)
    lows = []
    for part in parts:
        x_nI = _take(x_SI, part)
        for slot in part.slots:
            low_nR = grouped_matmul(x_nI, slot.a_ERI.mT, part.groups)
            update_nO = grouped_matmul(low_nR, slot.b_EOR.mT, part.groups)
            _add(y_SO[:, slot.start : slot.end], part, update_nO, slot.scaling)
            lows.append(low_nR)
    return y_SO, lows


def _take(rows_SI: Tensor, part: _Part) -> Tensor:
    return rows_SI if part.row_n is None else rows_SI[part.row_n]


def _add(total_SO: Tensor, part: _Part, update_nO: Tensor, factor: float) -> None:
    if part.row_n is None:
        total_SO.add_(update_nO, alpha=factor)
    else:
        total_SO.index_add_(0, part.row_n, update_nO, alpha=factor)


class _ExpertLinear(torch.autograd.Function):
    """`_expert_linear` with the derivative written out: frozen weights need none."""

    @staticmethod
    def forward(
        ctx: Any, x_SI: Tensor, weight_EOI: Tensor, groups: Groups, parts: Sequence[_Part]
    ) -> Tensor:
        y_SO, lows = _forward(x_SI, weight_EOI, groups, parts)
        ctx.save_for_backward(x_SI, weight_EOI, *lows)
        ctx.groups, ctx.parts = groups, parts
        return y_SO

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad_SO,) = grad_outputs
        x_SI, weight_EOI, *lows = ctx.saved_tensors
        grad_SO = grad_SO.contiguous()
        grad_x_SI = grouped_matmul(grad_SO, weight_EOI, ctx.groups)
        remaining = iter(lows)
        for part in ctx.parts:
            x_nI = _take(x_SI, part)
            for slot in part.slots:
                grad_nO = _take(grad_SO[:, slot.start : slot.end], part)
                grad_x_nI = _add_gradient(slot, part.groups, x_nI, next(remaining), grad_nO)
                _add(grad_x_SI, part, grad_x_nI, 1.0)
        return grad_x_SI, None, None, None


def _add_gradient(
    slot: _Slot, groups: Groups, x_nI: Tensor, low_nR: Tensor, grad_nO: Tensor
) -> Tensor:
    """Add the derivative by the pairs to their gradient; return that by `x_nI`."""
    grad_low_nR = grouped_matmul(grad_nO, slot.b_EOR, groups).mul_(slot.scaling)
    if slot.gradient is not None:
        grad_a_ERI, grad_b_EOR = slot.gradient
        add_grouped_outer(grad_b_EOR, grad_nO, low_nR, groups, slot.scaling)
        add_grouped_outer(grad_a_ERI, grad_low_nR, x_nI, groups, 1.0)
    return grouped_matmul(grad_low_nR, slot.a_ERI, groups)
