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
        ({"grad_norm": 0.5 * (1 + 1.1e-4)}, "grad_norm"),
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
        {"grad_norm": 0.5 * (1 + 0.9e-4)},
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


SAMPLED = replace(
    STEP, loss=1e-9, loss_scale=0.5, quantities={"reward": 0.4, "advantages": (1.0, -1.0, 0.0)}
)


def sampled(**quantities) -> Step:
    """Return the sampled step with some of its quantities changed."""
    return replace(SAMPLED, quantities={**SAMPLED.quantities, **quantities})


@pytest.mark.parametrize(
    ("loss", "differs"), [(1e-9 + 0.49e-4, ()), (1e-9 + 0.51e-4, ("loss",)), (-1e-9, ())]
)
def test_loss_whose_terms_cancel_is_compared_with_their_size(loss, differs):
    pair = compare((SAMPLED,), (replace(SAMPLED, loss=loss),)).pairs[0]
    assert pair.differs == differs
    assert pair.loss_difference == pytest.approx(abs(loss - 1e-9) / 0.5)


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        (sampled(reward=0.4 * (1 + 0.9e-4)), ()),
        (sampled(reward=0.4 * (1 + 1.1e-4)), ("reward",)),
        (sampled(reward=float("nan")), ("reward",)),
        (sampled(advantages=(1.0, -1.0, 0.9e-4)), ()),
        (sampled(advantages=(1.0, -1.0, 1.1e-4)), ("advantages",)),
        (sampled(advantages=(1.0, -1.0)), ("advantages",)),
        (sampled(mine=3.0), ()),
    ],
)
def test_what_both_sides_record_under_one_name_is_compared(changed, differs):
    assert compare((SAMPLED,), (changed,)).pairs[0].differs == differs


def test_quantity_is_compared_with_its_largest_value_of_the_training():
    left = (sampled(reward=10.0), sampled(reward=0.1))
    right = (sampled(reward=10.0), sampled(reward=0.1 + 0.9e-3))
    assert compare(left, right).is_equal


def test_divergence_of_a_policy_that_has_hardly_moved_is_compared_absolutely():
    left, right = sampled(kl=1e-9), sampled(kl=5e-7)
    assert compare((left,), (right,)).is_equal
    assert not compare((left,), (sampled(kl=2e-6),)).is_equal


def test_quantity_that_only_the_original_records_is_named_and_not_compared():
    comparison = compare((SAMPLED,), (replace(SAMPLED, quantities={"advantages": (1, -1, 0)}),))
    assert comparison.is_equal
    assert comparison.not_recorded == ("reward",)


def test_tokens_that_the_original_does_not_know_are_not_compared():
    unknown = replace(STEP, num_loss_tokens=None)
    assert compare((unknown,), (STEP,)).is_equal
    assert not compare((STEP,), (unknown,)).is_equal


def test_converted_script_without_its_completions_is_not_equal():
    comparison = compare(STEPS, STEPS, refusal="the prompt was never continued")
    assert comparison.first_difference is None
    assert not comparison.is_equal


def test_numbers_and_lists_of_numbers_of_a_line_are_its_quantities(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text(
        '{"step": 0, "epoch": 0.5, "loss": 1, "learning_rate": 1, "loss_scale": 0.5, "reward": 2,'
        ' "advantages": [1, -0.5], "name": "x", "texts": ["a"], "none": [], "holes": [1, null]}\n'
    )
    step = read_steps(file)[0]
    assert step.quantities == {"reward": 2.0, "advantages": (1.0, -0.5)}
    assert step.loss_scale == 0.5


@pytest.mark.parametrize(("gap", "is_equal"), [(5e-5, True), (5e-4, False)])
def test_rewards_are_no_better_than_the_last_place_of_their_log_probabilities(gap, is_equal):
    def step(reward: float) -> Step:
        quantities = {"rewards/chosen": reward, "logps/chosen": -900.0}
        return replace(STEPS[0], quantities=quantities)

    assert compare((step(0.02),), (step(0.02 + gap),)).is_equal is is_equal
