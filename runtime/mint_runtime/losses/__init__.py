"""The losses of the API by name. A new one is a file with a `LOSS` and one line in `LOSSES`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mint_runtime.errors import UserError
from mint_runtime.losses import cross_entropy, importance_sampling, ppo
from mint_runtime.losses.base import Loss, LossInputs, LossOutput

LOSSES: Mapping[str, Loss] = {
    loss.name: loss for loss in (cross_entropy.LOSS, importance_sampling.LOSS, ppo.LOSS)
}

__all__ = ["LOSSES", "Loss", "LossInputs", "LossOutput", "get_loss", "resolve_config"]


def get_loss(name: str) -> Loss:
    """Return the loss called `name`.

    Raises:
        UserError: there is none; the sentence lists those there are.
    """
    if name not in LOSSES:
        raise UserError(f"`loss_fn` is {name!r}; the losses of this server are {', '.join(LOSSES)}")
    return LOSSES[name]


def resolve_config(loss: Loss, config: Mapping[str, float]) -> dict[str, float]:
    """Return the defaults of `loss` overridden by `config`.

    Raises:
        UserError: a key the loss does not have, or a value that is not a finite number.
    """
    for key, value in config.items():
        if key not in loss.config:
            known = ", ".join(loss.config) or "no keys at all"
            raise UserError(f"`loss_fn_config` has {key!r}, but {loss.name} accepts {known}")
        if not math.isfinite(value):
            raise UserError(
                f"`loss_fn_config` sets {key!r} to {value}, which is not a finite number"
            )
    return {**loss.config, **config}
