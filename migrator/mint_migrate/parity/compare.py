"""Decide whether two recorded trainings are the same, step by step.

Compared are loss, learning rate, gradient norm and number of loss tokens of every step, and the
quantities that both sides record under one name: rewards, divergences, advantages.

Tolerances are relative to the original. They are those of float32 arithmetic done in another order:
sums over a few thousand tokens agree to about 1e-6, and twenty optimizer steps let that grow; 1e-4
on the loss is far below what a wrong mask, schedule or order causes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mint_migrate.parity.steps import Quantity, Step

LOSS_TOLERANCE = 1e-4
GRAD_NORM_TOLERANCE = 1e-4
LEARNING_RATE_TOLERANCE = 1e-9
"""Both sides compute it in double precision from the same numbers."""

QUANTITY_TOLERANCE = 1e-4
SMALLEST_QUANTITY = 1e-2
"""Rewards and divergences of a policy that has hardly moved are differences of log-probabilities of
which float32 holds about seven digits: below this size they are compared absolutely."""

COUNT_OF_LARGER = "rewards/accuracies"
MARGIN = "rewards/margins"
"""Where policy and reference agree, chance of rounding says which of two rewards is the larger."""
LAST_PLACE = 2.0**-23
"""Of float32, relative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPair:
    """One step of both sides and how far apart they are."""

    index: int
    original: Step
    converted: Step
    differs: tuple[str, ...]
    """Names of the quantities outside their tolerance."""
    quantity_differences: Mapping[str, float]
    """By name, of what both sides record: relative to its largest value over all steps."""

    @property
    def loss_difference(self) -> float:
        """Relative to the original, or to the size of the terms where those cancel."""
        return relative_difference(
            self.original.loss, self.converted.loss, self.original.loss_scale or 0.0
        )

    @property
    def grad_norm_difference(self) -> float:
        """Relative to the original; not a number where a side did not record it."""
        return relative_difference(self.original.grad_norm, self.converted.grad_norm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All compared steps, and what the comparison says."""

    pairs: tuple[StepPair, ...]
    num_original: int
    num_converted: int
    refusal: str | None = None
    """Why the converted script did not get the completions that it asked for next."""

    @property
    def first_difference(self) -> StepPair | None:
        """The first step with a quantity outside its tolerance."""
        return next((pair for pair in self.pairs if pair.differs), None)

    @property
    def not_recorded(self) -> tuple[str, ...]:
        """Names of the quantities that only the original records, so that they are not compared."""
        left = {name: None for pair in self.pairs for name in pair.original.quantities}
        right = {name for pair in self.pairs for name in pair.converted.quantities}
        return tuple(name for name in left if name not in right)

    @property
    def is_equal(self) -> bool:
        """Every quantity of every step within tolerance, and as many steps on both sides."""
        same_length = self.num_original == self.num_converted and self.refusal is None
        return bool(self.pairs) and same_length and self.first_difference is None


def relative_difference(
    original: float | None, converted: float | None, scale: float = 0.0
) -> float:
    """Return |converted - original| / |original|; 0 where equal, nan where one is missing.

    Args:
        original: the number to be met.
        converted: the other number.
        scale: takes the place of an original that is smaller.
    """
    if original is None or converted is None:
        return math.nan
    if original == converted:
        return 0.0
    size = max(abs(original), scale)
    return abs(converted - original) / size if size else math.inf


def compare(
    original: Sequence[Step], converted: Sequence[Step], *, refusal: str | None = None
) -> Comparison:
    """Pair the steps of both sides in order."""
    sizes = _sizes(original)
    pairs = tuple(
        _pair(index, left, right, sizes)
        for index, (left, right) in enumerate(zip(original, converted, strict=False))
    )
    return Comparison(
        pairs=pairs,
        num_original=len(original),
        num_converted=len(converted),
        refusal=refusal,
    )


def _pair(index: int, left: Step, right: Step, sizes: Mapping[str, float]) -> StepPair:
    """Compare one step. A value that is missing or not a number differs."""
    quantities = {
        name: _difference(value, right.quantities[name], sizes[name])
        for name, value in left.quantities.items()
        if name in right.quantities and not (name == COUNT_OF_LARGER and _is_tied(left))
    }
    tokens = left.num_loss_tokens
    loss = relative_difference(left.loss, right.loss, left.loss_scale or 0.0)
    rate = relative_difference(left.learning_rate, right.learning_rate)
    checks = (
        ("loss", loss, LOSS_TOLERANCE),
        ("learning_rate", rate, LEARNING_RATE_TOLERANCE),
        ("grad_norm", relative_difference(left.grad_norm, right.grad_norm), GRAD_NORM_TOLERANCE),
        # Some trainers do not show the harness what they train on.
        (
            "num_loss_tokens",
            0.0 if tokens is None else relative_difference(tokens, right.num_loss_tokens),
            0.0,
        ),
        *((name, found, QUANTITY_TOLERANCE) for name, found in quantities.items()),
    )
    # Written this way round, a difference that is not a number is outside.
    differs = tuple(name for name, found, tolerance in checks if not found <= tolerance)
    return StepPair(
        index=index,
        original=left,
        converted=right,
        differs=differs,
        quantity_differences=quantities,
    )


def _is_tied(step: Step) -> bool:
    """Say whether the rewards of a step's pairs differ by no more than rounding."""
    margins = _numbers(step.quantities.get(MARGIN, math.inf))
    return max(map(abs, margins)) <= SMALLEST_QUANTITY * QUANTITY_TOLERANCE


def _sizes(steps: Sequence[Step]) -> dict[str, float]:
    """Return the largest absolute value that each quantity takes.

    A reward or a divergence is a difference of log-probabilities of whole sequences, and no better
    than the last place of those: where they are large, that counts as its size.
    """
    sizes: dict[str, float] = {}
    for step in steps:
        for name, value in step.quantities.items():
            largest = max(abs(number) for number in _numbers(value))
            sizes[name] = max(sizes.get(name, SMALLEST_QUANTITY), largest)
    rounded = [size for name, size in sizes.items() if name.startswith("logps/")]
    smallest = max(rounded, default=0.0) * LAST_PLACE / QUANTITY_TOLERANCE
    return {
        name: max(size, smallest) if name == "kl" or name.startswith("rewards/") else size
        for name, size in sizes.items()
    }


def _difference(left: Quantity, right: Quantity, size: float) -> float:
    """Return the largest difference of two quantities, relative to `size`."""
    before, after = _numbers(left), _numbers(right)
    if len(before) != len(after):
        return math.inf
    gaps = [abs(b - a) / size for a, b in zip(before, after, strict=True)]
    return math.nan if any(math.isnan(gap) for gap in gaps) else max(gaps)


def _numbers(value: Quantity) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)
