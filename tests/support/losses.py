"""Inputs for loss functions, and a slow differentiation to compare with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mint_runtime.losses import LossInputs
from torch import Tensor


def loss_inputs(logp: list[float] | Tensor, **values: list[float] | Tensor) -> LossInputs:
    """Return inputs of one datum; lists become a column `[N, 1]`."""
    logp_NK = column(logp).requires_grad_()
    return LossInputs(
        logp_NK=logp_NK,
        values={name: column(value) for name, value in values.items()},
        datum_N=torch.zeros(len(logp_NK), dtype=torch.int64),
        num_datums=1,
    )


def column(values: list[float] | Tensor) -> Tensor:
    """Return float32 `[N, K]`."""
    tensor = torch.as_tensor(values, dtype=torch.float32)
    return tensor[:, None] if tensor.ndim == 1 else tensor


def gradient_of(loss_NK: Tensor, inputs: LossInputs) -> list[float]:
    """Return the derivative of the summed loss by each log-probability."""
    (grad,) = torch.autograd.grad(loss_NK.sum(), inputs.logp_NK)
    return grad.flatten().tolist()


def central_difference(function: Callable[[list[float]], float], at: list[float]) -> list[float]:
    """Differentiate a plain Python function numerically."""
    width = 1e-5
    slopes = []
    for index in range(len(at)):
        up, down = list(at), list(at)
        up[index] += width
        down[index] -= width
        slopes.append((function(up) - function(down)) / (2 * width))
    return slopes
