"""The guess at why two trainings differ, for differences made on purpose."""

from dataclasses import replace

import pytest
from mint_migrate.parity.causes import likely_cause
from mint_migrate.parity.compare import compare
from mint_migrate.parity.steps import Step

TOKENS = (400, 150, 320, 90, 510, 260)
RATES = (0.0, 1e-4, 2e-4, 3e-4, 2e-4, 1e-4)
STEPS = tuple(
    Step(
        loss=7.0 - 0.1 * index,
        learning_rate=rate,
        grad_norm=0.4 + 0.01 * index,
        num_loss_tokens=tokens,
        num_rows=8,
    )
    for index, (tokens, rate) in enumerate(zip(TOKENS, RATES, strict=True))
)


def cause(change) -> str:
    """Return the guess when every step is changed by `change(index, step)`."""
    converted = tuple(change(index, step) for index, step in enumerate(STEPS))
    found = likely_cause(compare(STEPS, converted))
    assert found is not None
    return found


def from_step(first: int, **factors):
    """Return a change that multiplies fields from a step on."""

    def change(index: int, step: Step) -> Step:
        if index < first:
            return step
        return replace(step, **{name: getattr(step, name) * by for name, by in factors.items()})

    return change


def rates(values):
    """Return a change that sets the learning rates."""
    return lambda index, step: replace(step, learning_rate=values[index])


def tokens(values):
    """Return a change that sets the numbers of loss tokens."""
    return lambda index, step: replace(step, num_loss_tokens=values[index])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (tokens((90, 510, 260, 400, 150, 330)), "another order"),
        (tokens(tuple(count + 8 for count in TOKENS)), "1 loss token(s) more"),
        (tokens(tuple(count - 16 for count in TOKENS)), "2 loss token(s) fewer"),
        (tokens((300, 100, 200, 50, 300, 200)), "fewer loss tokens"),
        (tokens((*TOKENS[:3], 510, 90, 260)), "after the first epoch"),
        (lambda i, s: replace(s, loss=s.loss * TOKENS[i]), "not normalized"),
        (lambda i, s: replace(s, loss=s.loss / TOKENS[i]), "normalized twice"),
        (from_step(0, loss=8.0, grad_norm=8.0), "number of rows"),
        (from_step(0, loss=-1.0, grad_norm=1.5), "sign"),
        (from_step(0, loss=1.05, grad_norm=1.2), "targets shifted"),
        (from_step(0, loss=1.05), "constant added"),
        (from_step(0, grad_norm=2.0), "alpha"),
        (from_step(3, loss=1.01, grad_norm=1.01), "optimizer settings"),
        (from_step(3, grad_norm=1.01), "optimizer settings"),
        (from_step(0, learning_rate=0.1), "base value"),
        (rates((*RATES[1:], 0.0)), "one step ahead"),
        (rates((0.0, *RATES[:-1])), "one step behind"),
        (rates((0.0, 2e-4, 3e-4, 3e-4, 2e-4, 1e-4)), "warm-up"),
        (rates((*RATES[:4], 1e-4, 0.0)), "decay"),
        (lambda i, s: replace(s, grad_norm=None), "does not record grad_norm"),
    ],
)
def test_cause_is_named(change, words):
    assert words in cause(change)


def test_other_number_of_steps_is_named():
    found = likely_cause(compare(STEPS, STEPS[:4]))
    assert found is not None
    assert "after 6 steps and the converted script after 4" in found


def test_difference_before_any_weight_moved_is_not_the_optimizer_s():
    still = tuple(replace(step, learning_rate=0.0) for step in STEPS)
    converted = (
        *still[:2],
        *(replace(step, loss=step.loss * 1.01, grad_norm=9.0) for step in still[2:]),
    )
    found = likely_cause(compare(still, converted))
    assert found is not None
    assert "optimizer" not in found


def test_equal_trainings_have_no_cause():
    assert likely_cause(compare(STEPS, STEPS)) is None
