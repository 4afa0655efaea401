"""AdamW with the six numbers the API names, all of which may change from step to step.

The update is that of `torch.optim.AdamW`: decay is decoupled (the weight shrinks by `lr *
weight_decay` before the update), both moments are bias-corrected, and eps is added outside the
root. Every matrix decays. Clipping scales the whole gradient by `max_norm / (norm + 1e-6)` when
that is below 1, as `torch.nn.utils.clip_grad_norm_` does. An adapter is one flat buffer, so a step
is a handful of operations whatever the number of its matrices.

Source: AdamW, arXiv:1711.05101, algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mint_runtime.model.adapter import Adapter, Gradient, named_matrices

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamSettings:
    """The numbers of one step."""

    learning_rate: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    grad_clip_norm: float
    """Largest global norm of the gradient; 0 does not clip."""


class Adam:
    """Moments and step count of one adapter."""

    def __init__(self, adapter: Adapter) -> None:
        """Start at step 0."""
        self.adapter = adapter
        self.num_steps = 0
        self._moments: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, gradient: Gradient, settings: AdamSettings) -> float:
        """Clip the gradient, update the adapter, both in place. Return the norm before clipping."""
        grad_P = gradient.flat_P
        norm = float(torch.linalg.vector_norm(grad_P))
        if settings.grad_clip_norm and (share := settings.grad_clip_norm / (norm + 1e-6)) < 1:
            grad_P.mul_(share)
        if not self._moments:
            self._moments = {moment: torch.zeros_like(grad_P) for moment in MOMENTS}
        self.num_steps += 1
        mean_P, square_P = (self._moments[moment] for moment in MOMENTS)
        mean_P.lerp_(grad_P, 1 - settings.beta1)
        square_P.mul_(settings.beta2).addcmul_(grad_P, grad_P, value=1 - settings.beta2)
        root_P = square_P.sqrt().div_(math.sqrt(1 - settings.beta2**self.num_steps))
        rate = settings.learning_rate / (1 - settings.beta1**self.num_steps)
        flat_P = self.adapter.flat_P
        if settings.weight_decay:
            flat_P.mul_(1 - settings.learning_rate * settings.weight_decay)
        flat_P.addcdiv_(mean_P, root_P.add_(settings.eps), value=-rate)
        return norm

    def moments(self) -> dict[str, Tensor]:
        """Return both moments as `<name>.exp_avg` and `<name>.exp_avg_sq`; empty before step 1."""
        return {
            f"{name}.{moment}": value
            for moment, flat_P in self._moments.items()
            for name, value in named_matrices(self.adapter.views(flat_P)).items()
        }

    def restore(self, moments: Mapping[str, Tensor], num_steps: int) -> None:
        """Continue from saved moments.

        Raises:
            KeyError: a moment is missing.
            ValueError: a moment has another shape than its tensor.
        """
        found = {moment: self._flat(moment, moments) for moment in MOMENTS if num_steps}
        self._moments, self.num_steps = found, num_steps

    def _flat(self, moment: str, moments: Mapping[str, Tensor]) -> Tensor:
        flat_P = torch.zeros_like(self.adapter.flat_P)
        for name, view in named_matrices(self.adapter.views(flat_P)).items():
            value = moments[f"{name}.{moment}"]
            if value.shape != view.shape:
                raise ValueError(f"{name}.{moment} is {list(value.shape)}, not {list(view.shape)}")
            view.copy_(value)
        return flat_P

    def copy(self, adapter: Adapter) -> Adam:
        """Return an optimizer of `adapter` in the same state, which shares no memory with this."""
        twin = Adam(adapter)
        twin.num_steps = self.num_steps
        twin._moments = {moment: value.clone() for moment, value in self._moments.items()}
        return twin
