"""The numbers of one optimizer step, as both sides write them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GRAD_NORM_NAMES = ("grad_norm", "gradient_norm", "optim/grad_norm")
COLUMNS = frozenset(
    {"step", "epoch", "loss", "loss_scale", "learning_rate", "num_loss_tokens", "num_rows"}
) | frozenset(GRAD_NORM_NAMES)
"""Names of a line that are fields of `Step`, or say which step it is."""

Quantity = float | tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimizer step."""

    loss: float
    """Mean over the step's loss tokens, in nats; what the optimizer minimizes."""
    learning_rate: float
    grad_norm: float | None
    """Global norm before clipping; None where it was not recorded."""
    num_loss_tokens: int | None
    num_rows: int | None = None
    """Sequences in the step; only the original's is known."""
    loss_scale: float | None = None
    """Size of the loss's terms, where they cancel; only the original's is known."""
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    """What else a line holds: rewards, divergences, the advantages of all completions."""


def read_steps(file: Path) -> tuple[Step, ...]:
    """Return the complete lines of a record; the last line may still be being written.

    Lines without a loss, such as those of an evaluation, are left out.
    """
    if not file.is_file():
        return ()
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    parsed = (json.loads(line) for line in whole.splitlines() if line.strip())
    return tuple(
        _step(line)
        for line in parsed
        if isinstance(line, dict) and "learning_rate" in line and "loss" in line
    )


def _step(line: dict[str, object]) -> Step:
    norms = [line[name] for name in GRAD_NORM_NAMES if name in line]
    return Step(
        loss=_number(line["loss"]) or 0.0 if line["loss"] is not None else math.nan,
        learning_rate=_number(line["learning_rate"]) or 0.0,
        grad_norm=_number(norms[0]) if norms else None,
        num_loss_tokens=_count(line.get("num_loss_tokens")),
        num_rows=_count(line.get("num_rows")),
        loss_scale=_number(line.get("loss_scale")),
        quantities=_quantities(line),
    )


def _quantities(line: dict[str, object]) -> dict[str, Quantity]:
    """Return every number and list of numbers that no field of `Step` holds."""
    found: dict[str, Quantity] = {}
    for name, value in line.items():
        if name in COLUMNS:
            continue
        if isinstance(value, list):
            numbers = [_number(item) for item in value]
            if numbers and None not in numbers:
                found[name] = tuple(number for number in numbers if number is not None)
        elif (number := _number(value)) is not None:
            found[name] = number
    return found


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def total_tokens(steps: Sequence[Step]) -> int:
    """Return the number of loss tokens of all steps."""
    return sum(step.num_loss_tokens or 0 for step in steps)
