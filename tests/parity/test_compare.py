"""When two recorded trainings count as the same."""

from dataclasses import replace

import pytest
from mint_migrate.parity.compare import compare, relative_difference
from mint_migrate.parity.steps import Step, read_steps

STEP = Step(loss=2.0, learning_rate=1e-3, grad_norm=0.5, num_loss_tokens=100, num_rows=4)
STEPS = (STEP, replace(STEP, loss=1.9), replace(STEP, loss=1.8))


def changed(index: int, **fields) -> tuple[Step, ...]:
    """Return the steps with one of them changed."""
    return tuple(
        replace(step, **fields) if number == index else step for number, step in enumerate(STEPS)
    )


def test_equal_steps_are_equal():
    comparison = compare(STEPS, STEPS)
    assert comparison.is_equal
    assert comparison.first_difference is None


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"loss": 1.9 * (1 + 1.1e-4)}, "loss"),
        ({"loss": 1.9 * (1 - 1.1e-4)}, "loss"),
        ({"loss": float("nan")}, "loss"),
        ({"grad_norm": 0.5 * (1 + 1.1e-3)}, "grad_norm"),
        ({"grad_norm": None}, "grad_norm"),
        ({"learning_rate": 1e-3 * (1 + 2e-9)}, "learning_rate"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"num_loss_tokens": 101}, "num_loss_tokens"),
        ({"num_loss_tokens": None}, "num_loss_tokens"),
    ],
)
def test_step_outside_tolerance_differs_and_is_the_first(fields, name):
    comparison = compare(STEPS, changed(1, **fields))
    assert not comparison.is_equal
    assert comparison.first_difference is not None
    assert comparison.first_difference.index == 1
    assert comparison.first_difference.differs == (name,)


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": 1.9 * (1 + 0.9e-4)},
        {"grad_norm": 0.5 * (1 + 0.9e-3)},
        {"learning_rate": 1e-3 * (1 + 0.5e-9)},
    ],
)
def test_step_within_tolerance_is_equal(fields):
    assert compare(STEPS, changed(1, **fields)).is_equal


def test_other_number_of_steps_differs_though_every_common_step_is_equal():
    comparison = compare(STEPS, STEPS[:2])
    assert comparison.first_difference is None
    assert not comparison.is_equal


def test_no_steps_are_not_equal():
    assert not compare((), ()).is_equal


def test_difference_is_relative_and_zero_equals_zero():
    assert relative_difference(-2.0, -2.2) == pytest.approx(0.1)
    assert relative_difference(0.0, 0.0) == 0.0
    assert relative_difference(0.0, 1e-12) == float("inf")


def test_record_being_written_is_read_up_to_its_last_whole_line(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text(
        '{"step": 0, "loss": 2.5, "learning_rate": 0.1, "grad_norm": 1, "num_loss_tokens": 7}\n'
        '{"step": 0, "eval_loss": 2.0, "learning_rate": 0.1}\n'
        '{"step": 1, "loss": 2.4, "learning_rate": 0.1}\n'
        '{"step": 2, "loss": 2.'
    )
    steps = read_steps(file)
    assert [step.loss for step in steps] == [2.5, 2.4]
    assert steps[0] == Step(loss=2.5, learning_rate=0.1, grad_norm=1.0, num_loss_tokens=7)
    assert (steps[1].grad_norm, steps[1].num_loss_tokens) == (None, None)


def test_absent_record_has_no_steps(tmp_path):
    assert read_steps(tmp_path / "none.jsonl") == ()


def test_loss_that_is_not_a_number_is_kept_as_such(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"loss": NaN, "learning_rate": 0.1}\n{"loss": null, "learning_rate": 0.1}\n')
    assert all(step.loss != step.loss for step in read_steps(file))
