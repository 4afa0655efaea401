"""Distillation steps: the divergence of a model from a reference, over the whole vocabulary.

Both read their own version of each sequence; the two are aligned at their ends. As for other
losses, the gradient joins the model's only when all of the step is done and finite.

Legend: N rows of a pass, n rows of a slice, T positions of one datum, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mint_runtime.engine.commands import ReverseKLDatum, ReverseKLStep, TrainResult
from mint_runtime.engine.models import Sampler, TrainedModel
from mint_runtime.engine.training import add_gradient
from mint_runtime.engine.validation import check_length, check_numbers, check_tokens
from mint_runtime.errors import UserError
from mint_runtime.losses import reverse_kl_rows
from mint_runtime.model.attention import CausalPlan
from mint_runtime.model.head import head_backward, logits, slice_rows, slices
from mint_runtime.model.load import BaseModel
from mint_runtime.model.lora import LoraPlan
from mint_runtime.model.memory import PassBudget


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Checked:
    """A datum that fits: rows that count, by their place in either sequence."""

    student_T: npt.NDArray[np.int64]
    reference_U: npt.NDArray[np.int64]
    weight_T: npt.NDArray[np.float32]
    counted: npt.NDArray[np.int64]
    """Places in the student's sequence whose weight is not 0."""

    @property
    def shift(self) -> int:
        """Return what leads from a place in the student's sequence to the reference's."""
        return len(self.reference_U) - len(self.student_T)


def reverse_kl_step(
    model: TrainedModel, reference: Sampler, step: ReverseKLStep, budget: PassBudget
) -> TrainResult:
    """Add the gradient of the weighted divergence to the model's.

    Args:
        model: the student.
        reference: a sampler on the same base model.
        step: what to compute.
        budget: says how many rows a pass has, of both sequences together; a longer datum has its
            own, with layers recomputed where memory demands it.

    Raises:
        UserError: the step does not fit, or its loss or gradient is not finite. Nothing has changed
            then.
    """
    if reference.base is not model.base:
        raise UserError(
            f"the reference is on base model {reference.base.name!r}, but the model on "
            f"{model.base.name!r}; both must be the same"
        )
    if not step.data:
        raise UserError("`data` is empty; send at least one datum")
    data = [_check(index, datum, model.base) for index, datum in enumerate(step.data)]
    gradient = model.adapter.zero_gradient()
    losses: list[npt.NDArray[np.float32]] = []
    for group in _groups(data, budget.max_rows()):
        reference_ND = _reference_rows(reference, group)
        num_rows = sum(len(datum.student_T) for datum in group)
        plan = LoraPlan.whole(model.adapter, num_rows, gradient)
        fitting = budget.fitting(num_rows, backward=True)
        with fitting, model.base.under(plan), torch.enable_grad():
            hidden_ND = _hidden(model.base, [datum.student_T for datum in group])
            row_n = _rows([(datum.counted, len(datum.student_T)) for datum in group])
            weight_n = torch.from_numpy(np.concatenate([d.weight_T[d.counted] for d in group]))
            loss_N, grad_ND = _divergence(
                model.base, hidden_ND.detach(), row_n, weight_n, plan, reference, reference_ND, step
            )
            torch.autograd.backward(hidden_ND, grad_ND)
        losses.extend(np.split(loss_N, np.cumsum([len(d.student_T) for d in group])[:-1]))
    total = float(sum(loss.sum(dtype=np.float64) for loss in losses))
    if not np.isfinite(total):
        raise UserError("the loss is not finite; weights are too large, or training has diverged")
    add_gradient(model, gradient)
    return TrainResult(
        outputs=tuple({"loss": loss} for loss in losses), metrics={"loss:sum": total}
    )


def _check(index: int, datum: ReverseKLDatum, base: BaseModel) -> _Checked:
    place = f"datum {index}"
    student_T = check_tokens(datum.student_tokens, f"{place}: `student_input`", base)
    reference_U = check_tokens(datum.reference_tokens, f"{place}: `reference_input`", base)
    check_length(student_T, f"{place}: `student_input`", base)
    check_length(reference_U, f"{place}: `reference_input`", base)
    target_T = check_tokens(datum.target_tokens, f"{place}: `target_tokens`", base)
    if len(target_T) != len(student_T):
        raise UserError(
            f"{place}: `target_tokens` has {len(target_T)} tokens, but `student_input` has "
            f"{len(student_T)}; send one target per token"
        )
    weight_T = check_numbers(place, "weights", datum.weights, student_T.shape)
    counted = np.flatnonzero(weight_T)
    missing = len(student_T) - len(reference_U)
    if len(counted) and counted[0] < missing:
        raise UserError(
            f"{place}: position {counted[0]} has a weight, but `reference_input`, which is aligned "
            f"at its end, covers positions from {missing}; send a longer reference or weight 0"
        )
    return _Checked(
        student_T=student_T, reference_U=reference_U, weight_T=weight_T, counted=counted
    )


def _groups(data: Sequence[_Checked], max_rows: int) -> Iterator[list[_Checked]]:
    group: list[_Checked] = []
    left = max_rows
    for datum in data:
        size = len(datum.student_T) + len(datum.reference_U)
        if group and size > left:
            yield group
            group, left = [], max_rows
        group.append(datum)
        left -= size
    yield group


def _hidden(base: BaseModel, sequences: Sequence[npt.NDArray[np.int64]]) -> Tensor:
    lengths = [len(sequence) for sequence in sequences]
    position_N = np.concatenate([np.arange(length) for length in lengths])
    return base.hidden(
        torch.from_numpy(np.concatenate(sequences)).to(base.device),
        torch.from_numpy(position_N).to(base.device),
        CausalPlan(lengths, base.device),
    )


def _rows(chosen: Sequence[tuple[npt.NDArray[np.int64], int]]) -> Tensor:
    """Return places within sequences, given with the lengths of those, as rows of the pack."""
    ends = np.cumsum([length for _, length in chosen])
    starts = ends - [length for _, length in chosen]
    parts = [places + start for (places, _), start in zip(chosen, starts, strict=True)]
    return torch.from_numpy(np.concatenate(parts))


@torch.no_grad()
def _reference_rows(reference: Sampler, group: Sequence[_Checked]) -> Tensor:
    """Return the reference's hidden states of the rows that count, `[n, D]`."""
    num_rows = sum(len(datum.reference_U) for datum in group)
    with reference.base.under(LoraPlan.whole(reference.adapter, num_rows)):
        hidden_ND = _hidden(reference.base, [datum.reference_U for datum in group])
    row_n = _rows([(datum.counted + datum.shift, len(datum.reference_U)) for datum in group])
    return hidden_ND[row_n.to(hidden_ND.device)]


def _divergence(
    base: BaseModel,
    hidden_ND: Tensor,
    row_n: Tensor,
    weight_n: Tensor,
    plan: LoraPlan,
    reference: Sampler,
    reference_nD: Tensor,
    step: ReverseKLStep,
) -> tuple[npt.NDArray[np.float32], Tensor]:
    """Return the loss of each row of the pass and the derivative by the hidden states."""
    loss_N = torch.zeros(len(hidden_ND), device=hidden_ND.device)
    grad_ND = torch.zeros_like(hidden_ND)
    chosen = plan.select(row_n)
    other = LoraPlan.whole(reference.adapter, len(row_n))
    row_n, weight_n = row_n.to(hidden_ND.device), weight_n.to(hidden_ND.device)
    for part in slices(len(row_n), slice_rows(base)):
        rows = row_n[part]
        own = chosen.narrow(part.start, part.stop)
        loss_N[rows], grad_nV = reverse_kl_rows(
            logits(base, hidden_ND[rows], own),
            logits(base, reference_nD[part], other.narrow(part.start, part.stop)),
            weight_n[part],
            step.temperature,
        )
        grad_ND[rows] = head_backward(base, hidden_ND[rows], grad_nV, own)
    return loss_N.cpu().numpy(), grad_ND
