"""The losses of the API by name. A new one is a file with a `LOSS` and one line in `LOSSES`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mint_runtime.errors import UserError
from mint_runtime.losses import cispo, cross_entropy, dro, gspo, importance_sampling, ppo
from mint_runtime.losses.base import Loss, LossInputs, LossOutput
from mint_runtime.losses.reverse_kl import reverse_kl_rows

LOSSES: Mapping[str, Loss] = {
    loss.name: loss
    for loss in (
        cross_entropy.LOSS,
        importance_sampling.LOSS,
        ppo.LOSS,
        cispo.LOSS,
        dro.LOSS,
        gspo.LOSS,
    )
}

UNSERVED: Mapping[str, str] = {
    "stable_reinforce": (
        "its formula is not public, so only the service that defines it can compute it; use "
        "`importance_sampling` or `cispo`, or compute it yourself with `forward_backward_custom`"
    ),
    "custom": (
        "it names a loss kept on the hosted service, which this server cannot have; pass your "
        "function to `forward_backward_custom`, which computes it in the client"
    ),
}
"""Losses that clients know and this server cannot have: the reason and the way out."""

__all__ = [
    "LOSSES",
    "UNSERVED",
    "Loss",
    "LossInputs",
    "LossOutput",
    "get_loss",
    "resolve_config",
    "reverse_kl_rows",
]


def get_loss(name: str) -> Loss:
    """Return the loss called `name`.

    Raises:
        UserError: there is none; the sentence lists those there are, or says why this one is not.
    """
    if name in UNSERVED:
        raise UserError(f"loss `{name}` is not served: {UNSERVED[name]}")
    if name not in LOSSES:
        raise UserError(f"`loss_fn` is {name!r}; the losses of this server are {', '.join(LOSSES)}")
    return LOSSES[name]


def resolve_config(loss: Loss, config: Mapping[str, float]) -> dict[str, float]:
    """Return the defaults of `loss` overridden by `config`.

    Raises:
        UserError: a key the loss does not have, or a value that is not a finite number or that the
            loss cannot use.
    """
    for key, value in config.items():
        if key not in loss.config:
            known = ", ".join(loss.config) or "no keys at all"
            raise UserError(f"`loss_fn_config` has {key!r}, but {loss.name} accepts {known}")
        if not math.isfinite(value):
            raise UserError(
                f"`loss_fn_config` sets {key!r} to {value}, which is not a finite number"
            )
    resolved = {**loss.config, **config}
    loss.check_config(resolved)
    return resolved
