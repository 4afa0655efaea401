"""The one shape all losses have: per-target tensors in, per-target loss and metrics out.

A loss never reduces. The engine sums over targets and datums, because the API asks for sums: a
caller who wants a mean divides the weights or advantages. Targets are shifted by the caller
already, so nothing shifts here.

Legend: N target positions of all datums of a pass, one after the other; T target positions of one
datum; K targets per position; S datums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossInputs:
    """What a loss may read. All `[N, K]` tensors are float32."""

    logp_NK: Tensor
    """Log-probability of each target under the trained model, in nats. Alone it has a gradient."""
    values: Mapping[str, Tensor]
    """The inputs that were sent, such as `weights`, `[N, K]` each, named as in the API."""
    datum_N: Tensor
    """int64, ascending: the datum 0..S-1 of each position; for losses over whole sequences."""
    num_datums: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossOutput:
    """The loss of each target, 0 where it does not count, and sums worth reporting."""

    loss_NK: Tensor
    sums: Mapping[str, Tensor] = field(default_factory=dict)
    """Scalar sums over the targets of this pass, reported as `<name>:sum`."""


LossValues = Mapping[str, npt.NDArray[np.float32]]
"""The inputs of one datum, `[T, K]` each, as they are known before anything is computed."""
LossFunction = Callable[[LossInputs, Mapping[str, float]], LossOutput]
ConfigCheck = Callable[[Mapping[str, float]], None]
InputCheck = Callable[[str, LossValues, Mapping[str, float]], None]
"""Takes the place for its messages ("datum 3"), the inputs of the datum and the whole config."""


def accept_config(config: Mapping[str, float]) -> None:
    """Accept every config."""


def accept_inputs(place: str, values: LossValues, config: Mapping[str, float]) -> None:
    """Accept every datum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss and what it accepts."""

    name: str
    function: LossFunction
    required: tuple[str, ...] = ()
    """Inputs besides `target_tokens` that every datum must have."""
    optional: tuple[str, ...] = ()
    """Inputs used when present. Other keys of a datum are ignored: clients send extra ones."""
    config: Mapping[str, float] = field(default_factory=dict)
    """Config keys and their defaults."""
    check_config: ConfigCheck = accept_config
    """Raises `UserError` for values that make no sense. `resolve_config` calls it."""
    check_inputs: InputCheck = accept_inputs
    """Raises `UserError` for a datum that makes no sense. To be called once shapes are known."""
