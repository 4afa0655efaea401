"""Forward, backward and optimizer steps of one model.

A step either happens whole or not at all: everything is validated first, and the gradient of a step
is collected apart and added to the model's accumulated gradient only when all of it exists and is
finite.

Legend: B sequences, T positions, D width, N real positions of a pass, K targets per position.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mint_runtime.engine.batching import Pass, collate, group_datums, split_outputs
from mint_runtime.engine.commands import OptimResult, OptimStep, TrainResult, TrainStep
from mint_runtime.engine.models import TrainedModel
from mint_runtime.engine.validation import CheckedDatum, check_data, check_optimizer_numbers
from mint_runtime.errors import UserError
from mint_runtime.losses import Loss, LossInputs, LossOutput, get_loss, resolve_config
from mint_runtime.model.load import BaseModel
from mint_runtime.model.logprobs import target_logprobs
from mint_runtime.optim.adam import AdamSettings


@dataclass(slots=True, kw_only=True, eq=False)
class _Progress:
    """What the passes of one step have produced so far."""

    outputs: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    gradient: list[Tensor] = field(default_factory=list)


def train_step(model: TrainedModel, step: TrainStep) -> TrainResult:
    """Compute a loss summed over targets and datums; with `step.backward`, add its gradient to the
    model's.

    Raises:
        UserError: the request does not fit the model or the loss, or the loss is not finite.
            Nothing has changed then.
    """
    loss = get_loss(step.loss_fn)
    config = resolve_config(loss, step.loss_config)
    data = check_data(step, loss, model.base)
    progress = _Progress()
    with model.base.use(model.adapter), torch.set_grad_enabled(step.backward):
        for indices in group_datums(data):
            batch = collate(data, indices, model.base.device)
            _run_pass(model, loss, config, data, batch, progress)
    if step.backward:
        _add_gradient(model, progress.gradient)
    return TrainResult(
        outputs=tuple({"logprobs": progress.outputs[index]} for index in range(len(data))),
        metrics={f"{name}:sum": value for name, value in progress.sums.items()},
    )


def _run_pass(
    model: TrainedModel,
    loss: Loss,
    config: dict[str, float],
    data: tuple[CheckedDatum, ...],
    batch: Pass,
    progress: _Progress,
) -> None:
    logp_NK = _logprobs(model.base, batch)
    result = loss.function(
        LossInputs(
            logp_NK=logp_NK,
            values=batch.values,
            datum_N=batch.datum_N,
            num_datums=len(batch.indices),
        ),
        config,
    )
    _check_finite(result, batch)
    progress.outputs.update(split_outputs(logp_NK, data, batch.indices))
    # Reported sums are taken in float64, so that they do not depend on how datums share passes.
    progress.sums["loss"] += float(result.loss_NK.detach().double().sum())
    for name, value in result.sums.items():
        progress.sums[name] += float(value.detach())
    if torch.is_grad_enabled():
        _collect_gradient(model.adapter.parameters(), result.loss_NK.sum(), progress.gradient)


def _logprobs(base: BaseModel, batch: Pass) -> Tensor:
    hidden_BTD = base.hidden(batch.tokens_BT)
    hidden_ND = hidden_BTD.flatten(0, 1).index_select(0, batch.position_N)
    return target_logprobs(hidden_ND, base.unembed, batch.target_NK, vocab_size=base.vocab_size)


def _check_finite(result: LossOutput, batch: Pass) -> None:
    finite_N = result.loss_NK.detach().isfinite().all(dim=1)
    if not finite_N.all():
        row = int(batch.datum_N[~finite_N][0])
        raise UserError(
            f"datum {batch.indices[row]}: the loss is not finite; its weights, advantages or "
            "log-probabilities are too large, or training has diverged"
        )


def _collect_gradient(tensors: list[Tensor], loss: Tensor, gradient: list[Tensor]) -> None:
    """Add the derivative of `loss` by each tensor to `gradient`, empty before the first pass."""
    found = torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True)
    if not gradient:
        gradient.extend(found)
        return
    for total, part in zip(gradient, found, strict=True):
        total.add_(part)


def _add_gradient(model: TrainedModel, gradient: list[Tensor]) -> None:
    if not all(bool(part.isfinite().all()) for part in gradient):
        raise UserError(
            "the gradient is not finite; weights, advantages or log-probabilities are too large, "
            "or training has diverged"
        )
    for tensor, part in zip(model.adapter.parameters(), gradient, strict=True):
        tensor.grad = part if tensor.grad is None else tensor.grad + part


def optim_step(model: TrainedModel, step: OptimStep) -> OptimResult:
    """Clip the accumulated gradient, take one AdamW step and forget the gradient.

    Raises:
        UserError: a number is out of range, no gradient has been accumulated, or its norm
            overflows.
    """
    check_optimizer_numbers(step)
    if not model.has_gradient:
        raise UserError(
            "there is no gradient since the last optim_step; forward_backward must come first"
        )
    grad_norm = model.optimizer.step(
        AdamSettings(
            learning_rate=step.learning_rate,
            beta1=step.beta1,
            beta2=step.beta2,
            eps=step.eps,
            weight_decay=step.weight_decay,
            grad_clip_norm=step.grad_clip_norm,
        )
    )
    assert math.isfinite(grad_norm) or grad_norm == math.inf
    return OptimResult(metrics={"grad_norm": grad_norm, "learning_rate": step.learning_rate})
