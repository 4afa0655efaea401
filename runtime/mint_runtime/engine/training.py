"""Forward and backward passes over the steps of several models, and optimizer steps.

A step either happens whole or not at all: everything is validated first, the gradient of a step is
collected apart, and it joins the model's accumulated gradient only when all of it exists and is
finite. What goes wrong with one step is no matter for those that share its passes.

Legend: N rows of a pass, n rows of one model in it, K targets per row.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mint_runtime.engine.batching import Pack, Share, datum_kind, pack, split_rows
from mint_runtime.engine.commands import OptimResult, OptimStep, TrainResult, TrainStep
from mint_runtime.engine.models import TrainedModel
from mint_runtime.engine.validation import check_data, check_optimizer_numbers
from mint_runtime.errors import UserError
from mint_runtime.losses import LossInputs, LossOutput, get_loss, resolve_config
from mint_runtime.model.adapter import Gradient
from mint_runtime.model.attention import CausalPlan
from mint_runtime.model.head import TargetLogprobs
from mint_runtime.model.load import BaseModel
from mint_runtime.model.lora import LoraPlan, LoraRows
from mint_runtime.optim.adam import AdamSettings


class StepRun:
    """A training step that is worked through, pass by pass."""

    def __init__(self, model: TrainedModel, step: TrainStep) -> None:
        """Check the step.

        Raises:
            UserError: it does not fit the model or the loss. Nothing has changed then.
        """
        self.model = model
        self.backward = step.backward
        self.loss = get_loss(step.loss_fn)
        self.config = resolve_config(self.loss, step.loss_config)
        self.data = check_data(step, self.loss, model.base)
        for index, datum in enumerate(self.data):
            self.loss.check_inputs(f"datum {index}", datum.values, self.config)
        self.restart()

    def restart(self) -> None:
        """Forget what passes have produced so far."""
        order = sorted(range(len(self.data)), key=lambda index: datum_kind(self.data[index]))
        self.pending = deque(order)
        """Datums that no pass has taken yet; those of one kind are neighbours."""
        self.error: UserError | None = None
        self.gradient: Gradient | None = None
        self._outputs: dict[int, npt.NDArray[np.float32]] = {}
        self._sums: defaultdict[str, float] = defaultdict(float)

    def take(self, max_tokens: int) -> list[int]:
        """Remove and return datums of one kind with at most `max_tokens` tokens together."""
        taken: list[int] = []
        while self.pending:
            datum = self.data[self.pending[0]]
            max_tokens -= len(datum.tokens_T)
            if max_tokens < 0:
                break
            if taken and not self.same_kind(taken[0]):
                break
            taken.append(self.pending.popleft())
        return taken

    def num_rows(self, indices: Sequence[int]) -> int:
        """Return how many rows these datums have in a pass."""
        return sum(len(self.data[index].tokens_T) for index in indices)

    def same_kind(self, index: int) -> bool:
        """Tell whether the next datum may share a pass with datum `index`."""
        return datum_kind(self.data[self.pending[0]]) == datum_kind(self.data[index])

    @property
    def next_tokens(self) -> int:
        """Return the length of the datum that comes next."""
        return len(self.data[self.pending[0]].tokens_T)

    def add(self, share: Share, logp_nK: Tensor) -> Tensor | None:
        """Compute the loss of one share and keep what the result needs.

        Returns:
            The derivative of the loss by each log-probability, `[n, K]`; None when nobody asked or
            the step has failed.
        """
        leaf_nK = logp_nK.detach().requires_grad_(self.backward)
        with torch.set_grad_enabled(self.backward):
            result = self.loss.function(
                LossInputs(
                    logp_NK=leaf_nK,
                    values=share.values,
                    datum_N=share.datum_n,
                    num_datums=len(share.indices),
                ),
                self.config,
            )
        self._check_finite(result, share)
        if self.error is not None:
            return None
        self._outputs.update(split_rows(logp_nK.cpu().numpy(), share))
        # Reported sums are taken in float64, so that they do not depend on how datums share passes.
        self._sums["loss"] += float(result.loss_NK.detach().double().sum())
        for name, value in result.sums.items():
            self._sums[name] += float(value.detach())
        if not self.backward or not result.loss_NK.requires_grad:
            return None
        (grad_nK,) = torch.autograd.grad(result.loss_NK.sum(), leaf_nK)
        return grad_nK

    def _check_finite(self, result: LossOutput, share: Share) -> None:
        finite_n = result.loss_NK.detach().isfinite().all(dim=1)
        if not finite_n.all():
            datum = int(share.datum_n[~finite_n][0])
            self.error = UserError(
                f"datum {share.indices[datum]}: the loss is not finite; its weights, advantages or "
                "log-probabilities are too large, or training has diverged"
            )

    def finish(self) -> TrainResult:
        """Add the gradient to the model's and return the result, once no datum is pending.

        Raises:
            UserError: the loss or the gradient is not finite. The model is as it was then.
        """
        if self.error is not None:
            raise self.error
        if self.gradient is not None:
            self._commit(self.gradient)
        return TrainResult(
            outputs=tuple({"logprobs": self._outputs[index]} for index in range(len(self.data))),
            metrics={f"{name}:sum": value for name, value in self._sums.items()},
        )

    def _commit(self, gradient: Gradient) -> None:
        add_gradient(self.model, gradient)


def add_gradient(model: TrainedModel, gradient: Gradient) -> None:
    """Add a gradient to what the model has accumulated.

    Args:
        model: what it is added to.
        gradient: a gradient that nobody else needs; it may be overwritten.

    Raises:
        UserError: the sum is not finite, or so large that its norm is not, which the optimizer
            would never recover from. The model is as it was then.
    """
    if model.gradient is not None:
        gradient.flat_P.add_(model.gradient.flat_P)
    if not torch.linalg.vector_norm(gradient.flat_P).isfinite():
        raise UserError(
            "the gradient is not finite; weights, advantages or log-probabilities are too large, "
            "or training has diverged"
        )
    model.gradient = gradient


def train_pass(
    base: BaseModel, members: Sequence[tuple[StepRun, Sequence[int]]], *, backward: bool
) -> None:
    """Run one pass over datums of several models of `base`.

    Args:
        base: the base model of all members.
        members: steps, and the datums of each that take part. Each model appears once.
        backward: whether the members want gradients.
    """
    packed = pack([(run.data, indices) for run, indices in members], base.device)
    runs = [run for run, _ in members]
    plan = _lora_plan(runs, packed, backward=backward)
    attention = CausalPlan(packed.lengths, base.device)
    with base.under(plan), torch.set_grad_enabled(backward):
        hidden_ND = base.hidden(packed.tokens_N, packed.position_N, attention)
        head = TargetLogprobs(base, hidden_ND, packed.target_NK, plan, backward=backward)
        grad_NK = torch.zeros_like(head.logp_NK)
        for run, share in zip(runs, packed.shares, strict=True):
            rows, columns = slice(share.start, share.end), slice(share.num_targets)
            if (grad_nK := run.add(share, head.logp_NK[rows, columns])) is not None:
                grad_NK[rows, columns] = grad_nK
        if backward and grad_NK.any():
            torch.autograd.backward(hidden_ND, head.backward(grad_NK))


def _lora_plan(runs: Sequence[StepRun], packed: Pack, *, backward: bool) -> LoraPlan:
    for run in runs:
        if backward and run.gradient is None:
            run.gradient = run.model.adapter.zero_gradient()
    return LoraPlan(
        [
            LoraRows(
                start=share.start,
                end=share.end,
                adapter=run.model.adapter,
                gradient=run.gradient if backward else None,
            )
            for run, share in zip(runs, packed.shares, strict=True)
        ]
    )


def optim_step(model: TrainedModel, step: OptimStep) -> OptimResult:
    """Clip the accumulated gradient, take one AdamW step and forget the gradient.

    Raises:
        UserError: a number is out of range, or no gradient has been accumulated.
    """
    check_optimizer_numbers(step)
    if model.gradient is None:
        raise UserError(
            "there is no gradient since the last optim_step; forward_backward must come first"
        )
    grad_norm = model.optimizer.step(
        model.gradient,
        AdamSettings(
            learning_rate=step.learning_rate,
            beta1=step.beta1,
            beta2=step.beta2,
            eps=step.eps,
            weight_decay=step.weight_decay,
            grad_clip_norm=step.grad_clip_norm,
        ),
    )
    model.gradient = None
    return OptimResult(metrics={"grad_norm": grad_norm, "learning_rate": step.learning_rate})
