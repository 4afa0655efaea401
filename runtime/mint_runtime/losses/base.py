"""The one shape all losses have: per-target tensors in, per-target loss and metrics out.

A loss never reduces. The engine sums over targets and datums, because the API asks for sums: a
caller who wants a mean divides the weights or advantages. Targets are shifted by the caller
already, so nothing shifts here.

Legend: N target positions of all datums of a pass, one after the other; K targets per position; S
datums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossInputs:
    """What a loss may read. All `[N, K]` tensors are float32."""

    logp_NK: Tensor
    """Log-probability of each target under the trained model, in nats. Alone it has a gradient."""
    values: Mapping[str, Tensor]
    """`weights`, `logprobs`, `advantages`, each `[N, K]`, as the API names them; what was sent."""
    datum_N: Tensor
    """int64, ascending: the datum 0..S-1 of each position; for losses over whole sequences."""
    num_datums: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossOutput:
    """The loss of each target, 0 where it does not count, and sums worth reporting."""

    loss_NK: Tensor
    sums: Mapping[str, Tensor] = field(default_factory=dict)
    """Scalar sums over the targets of this pass, reported as `<name>:sum`."""


LossFunction = Callable[[LossInputs, Mapping[str, float]], LossOutput]


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
