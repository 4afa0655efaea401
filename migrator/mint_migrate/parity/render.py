"""Show a comparison: for the terminal as rich renderables, for programs as JSON.

Meaning never depends on color: a step outside tolerance names the quantities that differ in its
last column.
"""

from __future__ import annotations

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mint_migrate.parity.compare import (
    GRAD_NORM_TOLERANCE,
    LEARNING_RATE_TOLERANCE,
    LOSS_TOLERANCE,
    QUANTITY_TOLERANCE,
    Comparison,
    StepPair,
)
from mint_migrate.parity.steps import Step
from mint_migrate.parity.verify import VerifyResult

JSON_VERSION = 1
SHORT_NAMES = {
    "loss": "loss",
    "learning_rate": "lr",
    "grad_norm": "grad",
    "num_loss_tokens": "tokens",
}
"""How the last column of the table calls what every trainer has."""

REWARD_NAMES = ("reward", "rewards/margins")
"""What the table shows of a step beside its loss, where it is recorded."""


def renderable(result: VerifyResult) -> RenderableType:
    """Return the whole result for `rich.console.Console.print`."""
    parts: list[RenderableType] = [Text(line) for line in _header(result)]
    parts += [_table(result), Text(""), *(Text(line) for line in verdict(result))]
    return Group(*parts)


def _header(result: VerifyResult) -> list[str]:
    lines = [f"{result.original} beside {result.converted}, {result.num_steps} steps asked for"]
    lines += [f"  {note}" for note in result.world]
    lines.append("  changed in the original: " + "; ".join(result.overrides))
    if result.aligned:
        lines.append(f"LoRA aligned: {result.aligned}")
    return lines


def verdict(result: VerifyResult) -> list[str]:
    """Return the sentences that say whether the trainings are equal, and if not, where and why."""
    comparison = result.comparison
    if comparison.is_equal:
        loss = max(pair.loss_difference for pair in comparison.pairs)
        norm = max(pair.grad_norm_difference for pair in comparison.pairs)
        return [
            f"equal over {len(comparison.pairs)} steps: loss within {loss:.1e} and gradient norm "
            f"within {norm:.1e} (relative), learning rates and token counts the same",
            *_about_scales(comparison),
            *_ended_early(result),
        ]
    lines = []
    first = comparison.first_difference
    if first is not None:
        num_equal = first.index
        lines.append(f"differs from step {num_equal} on: {', '.join(first.differs)}")
    elif comparison.refusal is not None:
        lines.append(f"the converted script stops after {comparison.num_converted} equal steps")
    elif comparison.num_original != comparison.num_converted:
        lines.append(
            f"the number of steps differs: {comparison.num_original} and {comparison.num_converted}"
        )
    else:
        lines.append("no step was recorded")
    if result.cause:
        lines.append(f"likely cause: {result.cause}")
    return lines


def _about_scales(comparison: Comparison) -> list[str]:
    """Return sentences on what else was compared, how, and what was not."""
    lines = []
    worst: dict[str, float] = {}
    for pair in comparison.pairs:
        for name, found in pair.quantity_differences.items():
            worst[name] = max(worst.get(name, 0.0), found)
    if worst:
        within = ", ".join(f"{name} within {found:.1e}" for name, found in worst.items())
        lines.append(f"also equal, relative to the largest value of each: {within}")
    scales = [pair.original.loss_scale for pair in comparison.pairs if pair.original.loss_scale]
    if scales:
        lines.append(
            "the terms of this loss cancel: its difference is relative to the mean size of the "
            f"advantages ({min(scales):.3g} to {max(scales):.3g}) where that is larger"
        )
    if comparison.not_recorded:
        names = ", ".join(comparison.not_recorded)
        lines.append(f"not in the converted script's metrics.jsonl, so not compared: {names}")
    return lines


def _ended_early(result: VerifyResult) -> list[str]:
    """Return a sentence where both trainings are shorter than was asked for."""
    if len(result.comparison.pairs) >= result.num_steps:
        return []
    return [f"both end there; {result.num_steps} steps were asked for"]


def _table(result: VerifyResult) -> Table:
    """Return one row per step, narrow enough for a terminal of 80 columns where the sides agree."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("step", justify="right", no_wrap=True)
    for name in ("loss TRL", "loss MinT", "rel.diff", "lr", "grad TRL", "grad MinT", "tokens"):
        table.add_column(name, justify="right")
    reward = _shown_reward(result.comparison)
    if reward is not None:
        table.add_column(_short(reward), justify="right")
    table.add_column("differs")
    # With one column more, the others need a digit less.
    digits = 6 if reward is None else 5
    for pair in result.comparison.pairs:
        left, right = pair.original, pair.converted
        table.add_row(
            str(pair.index),
            f"{left.loss:.{digits}f}",
            f"{right.loss:.{digits}f}",
            f"{pair.loss_difference:.1e}",
            _both(f"{left.learning_rate:.4g}", f"{right.learning_rate:.4g}"),
            _norm(left.grad_norm, digits - 1),
            _norm(right.grad_norm, digits - 1),
            _both(_count(left.num_loss_tokens), _count(right.num_loss_tokens)),
            *([] if reward is None else [_both(_value(left, reward), _value(right, reward))]),
            ", ".join(_short(name) for name in pair.differs),
        )
    return table


def _shown_reward(comparison: Comparison) -> str | None:
    """Return the name of the quantity that has a column of its own, if one was recorded."""
    recorded = {name for pair in comparison.pairs for name in pair.original.quantities}
    return next((name for name in REWARD_NAMES if name in recorded), None)


def _short(name: str) -> str:
    """Return what the table calls a quantity: the last part of TRL's name for it."""
    return SHORT_NAMES.get(name, name.rpartition("/")[2])


def _value(step: Step, name: str) -> str:
    value = step.quantities.get(name)
    return f"{value:.4f}" if isinstance(value, float) else "-"


def _both(left: str, right: str) -> str:
    """Return one text where both sides agree."""
    return left if left == right else f"{left} / {right}"


def _norm(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def as_json(result: VerifyResult) -> dict[str, Any]:
    """Return plain data with a version number; unrounded, None for what is not finite."""
    comparison = result.comparison
    first = comparison.first_difference
    return {
        "version": JSON_VERSION,
        "original": str(result.original),
        "converted": str(result.converted),
        "equal": comparison.is_equal,
        "num_steps": {
            "requested": result.num_steps,
            "original": comparison.num_original,
            "converted": comparison.num_converted,
        },
        "first_difference": None if first is None else first.index,
        "cause": result.cause,
        "lora_aligned": result.aligned,
        "overrides": list(result.overrides),
        "world": list(result.world),
        "tolerances": {
            "loss": LOSS_TOLERANCE,
            "grad_norm": GRAD_NORM_TOLERANCE,
            "learning_rate": LEARNING_RATE_TOLERANCE,
            "quantities": QUANTITY_TOLERANCE,
        },
        "not_recorded": list(comparison.not_recorded),
        "steps": [_pair_as_json(pair) for pair in comparison.pairs],
    }


def _pair_as_json(pair: StepPair) -> dict[str, Any]:
    return {
        "step": pair.index,
        "original": _step_as_json(pair.original),
        "converted": _step_as_json(pair.converted),
        "loss_difference": _finite(pair.loss_difference),
        "grad_norm_difference": _finite(pair.grad_norm_difference),
        "quantity_differences": {
            name: _finite(found) for name, found in pair.quantity_differences.items()
        },
        "differs": list(pair.differs),
    }


def _step_as_json(step: Step) -> dict[str, Any]:
    return {
        "loss": _finite(step.loss),
        "learning_rate": _finite(step.learning_rate),
        "grad_norm": _finite(step.grad_norm),
        "num_loss_tokens": step.num_loss_tokens,
        "loss_scale": step.loss_scale,
        "quantities": {
            name: list(value) if isinstance(value, tuple) else _finite(value)
            for name, value in step.quantities.items()
        },
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
