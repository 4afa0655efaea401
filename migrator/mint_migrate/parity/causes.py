"""Guess why two trainings differ, from the first step that does.

The checks run from what a step is made of to what it leads to: the data, then the loss on it, then
its gradient, then the optimizer. The first that matches is reported; each is a guess and is worded
as one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mint_migrate.parity.compare import Comparison, StepPair, relative_difference
from mint_migrate.parity.steps import total_tokens

RATIO_TOLERANCE = 2e-3
"""How closely a ratio must match a known number to be named."""

NEAR_ZERO = 1e-3
"""Of the size of its terms: below, the ratio of two losses is that of their rounding errors."""

_FUNCTION_REWARD = re.compile(r"rewards/.+/(mean|std)\Z")

SAME_TOTAL_TOLERANCE = 0.2
"""Rows in another order give another number of tokens to each step, but about as many in all."""


def likely_cause(comparison: Comparison) -> str | None:
    """Return one sentence on the first difference, or None where the trainings are equal."""
    if comparison.is_equal:
        return None
    first = comparison.first_difference
    if first is None:
        return comparison.refusal or _length_cause(comparison)
    if _missing(first):
        return _missing_cause(first)
    if "num_loss_tokens" in first.differs:
        return _token_cause(comparison, first)
    if "learning_rate" in first.differs:
        return _schedule_cause(comparison, first)
    if (cause := _reward_cause(first)) is not None:
        return cause
    if not {"loss", "grad_norm"} & set(first.differs):
        return (
            "loss and gradient agree; what the converted script writes as "
            f"{', '.join(first.differs)} is not what TRL means by it: the mean over the step's rows"
        )
    if "loss" in first.differs:
        return _loss_cause(comparison, first)
    return _gradient_cause(comparison, first)


def _reward_cause(first: StepPair) -> str | None:
    """Return what differs between the completions and the loss on them, or None."""
    if "advantages" in first.quantity_differences and "advantages" not in first.differs:
        return None  # what was made of the rewards is right
    rewards = [name for name in first.differs if name in ("reward", "reward_std")]
    rewards += [name for name in first.differs if _FUNCTION_REWARD.match(name)]
    if rewards:
        return (
            f"the same completions are scored otherwise ({', '.join(rewards)}): a reward function, "
            "its weight, or the columns and text that it is given"
        )
    if "advantages" in first.differs:
        return _advantage_cause(first)
    return None


def _advantage_cause(first: StepPair) -> str:
    left, right = (side.quantities["advantages"] for side in (first.original, first.converted))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    if len(left) != len(right):
        return f"{len(right)} completions have an advantage, of {len(left)} in the original"
    ratios = [after / before for before, after in zip(left, right, strict=True) if before]
    if ratios and all(math.isclose(one, ratios[0], rel_tol=RATIO_TOLERANCE) for one in ratios):
        return (
            f"the advantages are {ratios[0]:.6g} times the original's: divided by another spread, "
            "or scaled twice"
        )
    return (
        "the same rewards give other advantages: centered or scaled over other groups, or not "
        "divided by the spread of their group"
    )


def _length_cause(comparison: Comparison) -> str:
    if not comparison.pairs:
        return "one side recorded no step"
    return (
        f"the original ended after {comparison.num_original} steps and the converted script after "
        f"{comparison.num_converted}: number of epochs, `max_steps`, batch size or rows dropped"
    )


def _missing(first: StepPair) -> list[str]:
    """Return the names of what differs because the converted script does not write it."""
    values = (
        ("num_loss_tokens", first.converted.num_loss_tokens),
        ("grad_norm", first.converted.grad_norm),
    )
    return [name for name, value in values if value is None and name in first.differs]


def _missing_cause(first: StepPair) -> str:
    missing = " and ".join(_missing(first))
    return f"the converted script's metrics.jsonl does not record {missing}"


def _token_cause(comparison: Comparison, first: StepPair) -> str:
    """Tell another order of the rows from other tokens in the same rows."""
    pairs = comparison.pairs
    signs = {
        (pair.converted.num_loss_tokens or 0) > (pair.original.num_loss_tokens or 0)
        for pair in pairs
        if "num_loss_tokens" in pair.differs
    }
    if first.index > 0 and "num_loss_tokens" not in pairs[0].differs:
        boundary = f"the first {first.index} steps have the same tokens, from then on they differ"
        return f"{boundary}: the order of the rows after the first epoch, or the partial last batch"
    rows = [pair.original.num_rows for pair in pairs]
    gaps = [
        (pair.converted.num_loss_tokens or 0) - (pair.original.num_loss_tokens or 0)
        for pair in pairs
    ]
    if len(signs) == 1 and _one_per_row(gaps, rows):
        word = "more" if gaps[0] > 0 else "fewer"
        return (
            f"every row counts {abs(gaps[0]) // (rows[0] or 1)} loss token(s) {word} in the "
            "converted script: an end-of-sequence token, or the first token of a row"
        )
    if len(pairs) > 1 and len(signs) == 2 and _similar_totals(pairs):
        return (
            "each step has other loss tokens, in all about as many: the rows come in another order"
        )
    if len(signs) == 1 or len(pairs) == 1:
        word = "more" if signs == {True} else "fewer"
        return (
            f"the converted script has {word} loss tokens: mask, truncation, packing or batch size"
        )
    return "the steps have other loss tokens: data order, loss mask or truncation"


def _one_per_row(gaps: Sequence[int], rows: Sequence[int | None]) -> bool:
    """Tell whether the gap is the same whole number of tokens for each row of every step."""
    known = [(gap, count) for gap, count in zip(gaps, rows, strict=True) if count]
    if len(known) != len(gaps) or not known[0][0]:
        return False
    per_row = known[0][0] / known[0][1]
    return per_row == int(per_row) and all(gap == per_row * count for gap, count in known)


def _similar_totals(pairs: Sequence[StepPair]) -> bool:
    left = total_tokens([pair.original for pair in pairs])
    right = total_tokens([pair.converted for pair in pairs])
    return relative_difference(left, right) <= SAME_TOTAL_TOLERANCE


def _schedule_cause(comparison: Comparison, first: StepPair) -> str:
    left = [pair.original.learning_rate for pair in comparison.pairs]
    right = [pair.converted.learning_rate for pair in comparison.pairs]
    if _close_all(left[1:], right[:-1]):
        return "the learning rate runs one step ahead of the original's: its steps count from 1"
    if _close_all(left[:-1], right[1:]):
        return "the learning rate runs one step behind the original's"
    ratios = [after / before for before, after in zip(left, right, strict=True) if before]
    if ratios and _close_all(ratios, [ratios[0]] * len(ratios)):
        return (
            f"the learning rate is {ratios[0]:.6g} times the original's throughout: its base value"
        )
    peak = left.index(max(left))
    where = "warm-up" if first.index <= peak and left[0] < left[peak] else "decay"
    return (
        f"the learning rate leaves the original's in the {where}: kind of schedule, warm-up steps "
        "or total number of steps"
    )


def _close_all(left: Sequence[float], right: Sequence[float]) -> bool:
    return bool(left) and all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=0.0) for a, b in zip(left, right, strict=True)
    )


def _loss_cause(comparison: Comparison, first: StepPair) -> str:
    if first.index > 0 and _is_smaller(comparison, first):
        return (
            f"the first {first.index} steps agree and the one that differs has fewer rows "
            f"({first.original.num_rows} instead of {comparison.pairs[0].original.num_rows}): how "
            "the incomplete last batch of an epoch is averaged"
        )
    if first.index > 0 and _moved(comparison, first):
        return _optimizer_cause(comparison, first)
    ratio = _scale(first)
    tokens = first.original.num_loss_tokens or 0
    rows = first.original.num_rows or 0
    named = (
        (tokens, "the number of loss tokens: the weights are not normalized"),
        (
            1 / tokens if tokens else 0,
            "1 / the number of loss tokens: the weights are normalized twice",
        ),
        (rows, "the number of rows: averaged over rows on one side only"),
        (tokens / rows if rows else 0, "the tokens per row: averaged over rows instead of tokens"),
        (-1.0, "-1: the sign of the weights"),
    )
    for number, meaning in named:
        # A ratio of 1 names nothing, whatever happens to be 1.
        if number not in (0, 1) and math.isclose(ratio, number, rel_tol=RATIO_TOLERANCE):
            return f"the loss is {ratio:.6g} times the original's, which is {meaning}"
    if "grad_norm" not in first.differs:
        return "loss differs and its gradient does not: a constant added to the loss"
    return (
        f"the same number of tokens gives another loss ({ratio:.6g} times the original's): "
        "targets shifted, weights on other tokens, or other rows"
    )


def _scale(first: StepPair) -> float:
    """Return how many times the original's the loss is; by its gradient where its terms cancel."""
    left, right = first.original, first.converted
    if left.loss and abs(left.loss) > NEAR_ZERO * (left.loss_scale or 0.0):
        return right.loss / left.loss
    if left.grad_norm and right.grad_norm is not None:
        return right.grad_norm / left.grad_norm
    return math.nan


def _moved(comparison: Comparison, first: StepPair) -> bool:
    """Tell whether the weights can have changed before the first difference."""
    return any(pair.original.learning_rate > 0 for pair in comparison.pairs[: first.index])


def _is_smaller(comparison: Comparison, first: StepPair) -> bool:
    """Tell whether the step has fewer rows than the first one, and the same tokens."""
    rows, usual = first.original.num_rows, comparison.pairs[0].original.num_rows
    return rows is not None and usual is not None and rows < usual


def _optimizer_cause(comparison: Comparison, first: StepPair) -> str:
    before = first.index
    others = "or other rows with as many tokens"
    if first.original.quantities:
        others = (
            "other rows with as many tokens, or a term of the loss that is zero at the start, such "
            "as the divergence from the reference"
        )
    return (
        f"loss, gradient norm and learning rate agree for {before} step(s), then the weights "
        f"differ: optimizer settings (betas, eps, weight decay, clipping), {others}"
    )


def _gradient_cause(comparison: Comparison, first: StepPair) -> str:
    if first.index > 0 and _moved(comparison, first):
        return _optimizer_cause(comparison, first)
    left, right = first.original.grad_norm or 0.0, first.converted.grad_norm or 0.0
    ratio = right / left if left else math.nan
    return (
        f"the same loss has another gradient ({ratio:.6g} times the original's norm): scale of "
        "the adapter (alpha), trained modules, or the norm taken after clipping"
    )
