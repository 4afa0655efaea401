"""AdamW with the six numbers the API names, all of which may change from step to step.

The update is that of `torch.optim.AdamW`: decay is decoupled (the weight shrinks by `lr *
weight_decay` before the update), both moments are bias-corrected, and eps is added outside the
root. Every matrix decays. Clipping scales the whole gradient by `max_norm / (norm + 1e-6)` when
that is below 1, as `torch.nn.utils.clip_grad_norm_` does.

Source: AdamW, arXiv:1711.05101, algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

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
    """Moments and step count of one adapter. Gradients are read from the tensors' `.grad`."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Start at step 0 for these named tensors."""
        self.tensors = dict(tensors)
        self.num_steps = 0
        self._adamw = torch.optim.AdamW(self.tensors.values())

    def step(self, settings: AdamSettings) -> float:
        """Clip, update in place, forget the gradient. Return the norm before clipping."""
        (group,) = self._adamw.param_groups
        group["lr"] = settings.learning_rate
        group["betas"] = (settings.beta1, settings.beta2)
        group["eps"] = settings.eps
        group["weight_decay"] = settings.weight_decay
        norm = torch.nn.utils.clip_grad_norm_(
            self.tensors.values(), settings.grad_clip_norm or math.inf
        )
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        self.num_steps += 1
        return float(norm)

    def moments(self) -> dict[str, Tensor]:
        """Return both moments as `<name>.exp_avg` and `<name>.exp_avg_sq`; empty before step 1."""
        return {
            f"{name}.{moment}": self._adamw.state[tensor][moment]
            for name, tensor in self.tensors.items()
            if tensor in self._adamw.state
            for moment in MOMENTS
        }

    def restore(self, moments: Mapping[str, Tensor], num_steps: int) -> None:
        """Continue from saved moments.

        Raises:
            KeyError: a moment is missing.
            ValueError: a moment has another shape than its tensor.
        """
        state = {}
        for name, tensor in self.tensors.items() if num_steps else ():
            found = {moment: moments[f"{name}.{moment}"] for moment in MOMENTS}
            for moment, value in found.items():
                if value.shape != tensor.shape:
                    raise ValueError(
                        f"{name}.{moment} is {list(value.shape)}, not {list(tensor.shape)}"
                    )
            state[tensor] = {moment: value.to(tensor) for moment, value in found.items()}
        self._adamw.state.clear()
        for tensor, values in state.items():
            # torch keeps the count of each tensor as a float32 scalar on the CPU.
            self._adamw.state[tensor] = {"step": torch.tensor(float(num_steps)), **values}
        self.num_steps = num_steps
