"""Checks of what callers send, all of them before anything is computed, each with the place and the
way out.

Array letters: T positions of one datum, K candidate targets per position.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mint_runtime.engine.commands import Array, Datum, OptimStep, TrainStep
from mint_runtime.errors import UserError
from mint_runtime.losses import Loss
from mint_runtime.model.load import BaseModel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedDatum:
    """A datum that fits its model and its loss."""

    tokens_T: npt.NDArray[np.int64]
    target_TK: npt.NDArray[np.int64]
    values: Mapping[str, npt.NDArray[np.float32]]
    """Inputs of the loss, `[T, K]` each; defaults are not filled in."""
    is_flat: bool
    """Whether the targets came as `[T]`, so that log-probabilities go back as `[T]`."""


def check_data(step: TrainStep, loss: Loss, base: BaseModel) -> tuple[CheckedDatum, ...]:
    """Return the datums of `step` as the loss needs them.

    Raises:
        UserError: there are none, or one does not fit; the sentence names the datum, the field and
            the value.
    """
    if not step.data:
        raise UserError("`data` is empty; send at least one datum")
    return tuple(_check_datum(index, datum, loss, base) for index, datum in enumerate(step.data))


def _check_datum(index: int, datum: Datum, loss: Loss, base: BaseModel) -> CheckedDatum:
    place = f"datum {index}"
    tokens_T = check_tokens(datum.tokens, f"{place}: `model_input`", base)
    check_length(tokens_T, f"{place}: `model_input`", base)
    target = _check_targets(place, datum, len(tokens_T), base)
    for name in loss.required:
        if name not in datum.inputs:
            raise UserError(f"{place}: loss {loss.name} needs `{name}`, which is missing")
    shape = (len(tokens_T), -1)
    values = {
        name: check_numbers(place, name, datum.inputs[name], target.shape).reshape(shape)
        for name in (*loss.required, *loss.optional)
        if name in datum.inputs
    }
    return CheckedDatum(
        tokens_T=tokens_T,
        target_TK=target.reshape(shape),
        values=values,
        is_flat=target.ndim == 1,
    )


def check_tokens(tokens: Array, place: str, base: BaseModel) -> npt.NDArray[np.int64]:
    """Return `tokens` as int64 `[T]`, T at least 1.

    Raises:
        UserError: they are empty, not one-dimensional, not integers, or outside the vocabulary.
    """
    if tokens.ndim != 1 or len(tokens) == 0:
        raise UserError(
            f"{place} has shape {list(tokens.shape)}; send a list of at least one token"
        )
    return _check_ids(tokens, place, base)


def check_length(tokens_T: npt.NDArray[np.int64], place: str, base: BaseModel) -> None:
    """Check that a sequence fits the context.

    Raises:
        UserError: it does not.
    """
    if len(tokens_T) > base.max_context_length:
        raise UserError(
            f"{place} has {len(tokens_T)} tokens; {base.name!r} takes {base.max_context_length}"
        )


def _check_targets(
    place: str, datum: Datum, num_tokens: int, base: BaseModel
) -> npt.NDArray[np.int64]:
    if "target_tokens" not in datum.inputs:
        raise UserError(f"{place}: `target_tokens` is missing")
    target = datum.inputs["target_tokens"]
    if target.ndim not in (1, 2) or len(target) != num_tokens or 0 in target.shape:
        raise UserError(
            f"{place}: `target_tokens` has shape {list(target.shape)}, but `model_input` "
            f"has {num_tokens} tokens; send one target (or one row of targets) per token"
        )
    return _check_ids(target, f"{place}: `target_tokens`", base)


def _check_ids(ids: Array, place: str, base: BaseModel) -> npt.NDArray[np.int64]:
    if not np.issubdtype(ids.dtype, np.integer):
        raise UserError(f"{place} has type {ids.dtype}; token ids are integers")
    whole = ids.astype(np.int64, copy=False)
    if whole.min() < 0 or whole.max() >= base.vocab_size:
        outside = np.argwhere((whole < 0) | (whole >= base.vocab_size))
        position = tuple(outside[0])
        raise UserError(
            f"{place} holds {ids[position]} at position {position[0]}; "
            f"{base.name!r} knows the tokens 0 to {base.vocab_size - 1}"
        )
    return whole


def check_numbers(
    place: str, name: str, values: Array, shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Return `values` as float32 after checking their shape and that they are finite.

    Raises:
        UserError: they have another shape, or one is not a finite float32.
    """
    if values.shape != shape:
        raise UserError(
            f"{place}: `{name}` has shape {list(values.shape)}, but `target_tokens` "
            f"has {list(shape)}"
        )
    # float32 is what the loss computes in, so a value too large for it is infinite here.
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32, copy=False)
    if not np.isfinite(numbers).all():
        broken = np.argwhere(~np.isfinite(numbers))
        position = tuple(broken[0])
        raise UserError(
            f"{place}: `{name}` holds {values[position]} at position {position[0]}; "
            "every value must be a finite float32"
        )
    return numbers


def check_optimizer_numbers(step: OptimStep) -> None:
    """Check the six numbers of an AdamW step.

    Raises:
        UserError: one of them is out of its range; the sentence gives value and range.
    """
    # A matrix whose gradient is still exactly zero (A of a fresh adapter) divides zero by eps.
    smallest_eps = float(np.finfo(np.float32).tiny)
    ranges = {
        "learning_rate": (step.learning_rate, 0.0, math.inf),
        "beta1": (step.beta1, 0.0, 1.0),
        "beta2": (step.beta2, 0.0, 1.0),
        "eps": (step.eps, smallest_eps, math.inf),
        "weight_decay": (step.weight_decay, 0.0, math.inf),
        "grad_clip_norm": (step.grad_clip_norm, 0.0, math.inf),
    }
    for name, (value, start, end) in ranges.items():
        if not start <= value < end:
            raise UserError(f"`{name}` is {value}; it must be at least {start:g} and below {end}")
