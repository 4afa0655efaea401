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


SAMPLED = replace(
    STEPS[0],
    loss=1e-9,
    loss_scale=0.7,
    quantities={"reward": 0.5, "rewards/f/mean": 0.5, "kl": 0.0, "advantages": (1.0, -1.0, 0.5)},
)


def sampled_cause(quantities, **fields) -> str:
    """Return the guess when the only step is changed."""
    changed = replace(SAMPLED, quantities={**SAMPLED.quantities, **quantities}, **fields)
    found = likely_cause(compare((SAMPLED,), (changed,)))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("quantities", "fields", "words"),
    [
        (
            {"rewards/f/mean": 0.6, "advantages": (2.0, -1.0, 0.5)},
            {},
            "scored otherwise (rewards/f/mean)",
        ),
        ({"rewards/f/mean": 0.6}, {}, "is not what TRL means by it"),
        ({"reward": 0.6, "advantages": (2.0, -1.0, 0.5)}, {}, "scored otherwise (reward)"),
        ({"advantages": (2.0, -2.0, 1.0)}, {}, "2 times the original's"),
        ({"advantages": (2.0, -1.0, 0.5)}, {}, "other advantages"),
        ({"advantages": (1.0,)}, {}, "1 completions have an advantage, of 3"),
        ({}, {"grad_norm": 0.4 * 400, "loss": 4e-3}, "not normalized"),
        ({"reward": 0.6}, {"grad_norm": 0.8}, "another gradient (2 times"),
        ({"kl": 0.1}, {}, "is not what TRL means by it"),
    ],
)
def test_first_quantity_of_a_sampled_step_that_differs_is_the_cause(quantities, fields, words):
    assert words in sampled_cause(quantities, **fields)


def test_incomplete_last_batch_is_named():
    rows = (8, 8, 5, 8, 8, 5)
    original = tuple(replace(step, num_rows=num) for step, num in zip(STEPS, rows, strict=True))
    converted = tuple(
        replace(step, loss=step.loss * (1.1 if index >= 2 else 1))
        for index, step in enumerate(original)
    )
    found = likely_cause(compare(original, converted))
    assert "fewer rows (5 instead of 8): how the incomplete last batch" in str(found)


def test_missing_completion_is_the_cause_where_all_steps_before_are_equal():
    comparison = compare(STEPS, STEPS[:2], refusal="the prompt was never continued")
    assert likely_cause(comparison) == "the prompt was never continued"
