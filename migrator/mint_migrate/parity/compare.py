"""Decide whether two recorded trainings are the same, step by step.

Tolerances are relative to the original. They are those of float32 arithmetic done in another order:
sums over a few thousand tokens agree to about 1e-6, and twenty optimizer steps let that grow; 1e-4
on the loss is far below what a wrong mask, schedule or order causes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mint_migrate.parity.steps import Step

LOSS_TOLERANCE = 1e-4
GRAD_NORM_TOLERANCE = 1e-3
LEARNING_RATE_TOLERANCE = 1e-9
"""Both sides compute it in double precision from the same numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPair:
    """One step of both sides and how far apart they are."""

    index: int
    original: Step
    converted: Step
    differs: tuple[str, ...]
    """Names of the quantities outside their tolerance."""

    @property
    def loss_difference(self) -> float:
        """Relative to the original."""
        return relative_difference(self.original.loss, self.converted.loss)

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

    @property
    def first_difference(self) -> StepPair | None:
        """The first step with a quantity outside its tolerance."""
        return next((pair for pair in self.pairs if pair.differs), None)

    @property
    def is_equal(self) -> bool:
        """Every quantity of every step within tolerance, and as many steps on both sides."""
        same_length = self.num_original == self.num_converted
        return bool(self.pairs) and same_length and self.first_difference is None


def relative_difference(original: float | None, converted: float | None) -> float:
    """Return |converted - original| / |original|; 0 where equal, nan where one is missing."""
    if original is None or converted is None:
        return math.nan
    if original == converted:
        return 0.0
    return abs(converted - original) / abs(original) if original else math.inf


def compare(original: Sequence[Step], converted: Sequence[Step]) -> Comparison:
    """Pair the steps of both sides in order."""
    pairs = tuple(
        StepPair(index=index, original=left, converted=right, differs=_differing(left, right))
        for index, (left, right) in enumerate(zip(original, converted, strict=False))
    )
    return Comparison(pairs=pairs, num_original=len(original), num_converted=len(converted))


def _differing(left: Step, right: Step) -> tuple[str, ...]:
    """Return the quantities that differ. A value that is missing or not a number differs."""
    checks = (
        ("loss", left.loss, right.loss, LOSS_TOLERANCE),
        ("learning_rate", left.learning_rate, right.learning_rate, LEARNING_RATE_TOLERANCE),
        ("grad_norm", left.grad_norm, right.grad_norm, GRAD_NORM_TOLERANCE),
        ("num_loss_tokens", left.num_loss_tokens, right.num_loss_tokens, 0.0),
    )
    return tuple(
        name
        for name, before, after, tolerance in checks
        # Written this way round, a difference that is not a number is outside.
        if not relative_difference(before, after) <= tolerance
    )
