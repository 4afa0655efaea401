"""Who shares a pass, and how its rows are divided."""

from __future__ import annotations

import pytest
from mint_runtime.engine.passes import compose
from mint_runtime.engine.training import StepRun
from support.tiny import datum, step, trained


@pytest.fixture
def run(base):
    """Return a function that makes a step of datums of these lengths."""
    model = trained(base)

    def make(*lengths, **inputs):
        return StepRun(
            model, step(*[datum(length, i, **inputs) for i, length in enumerate(lengths)])
        )

    return make


def sizes(members):
    return [[len(run.data[index].tokens_T) for index in taken] for run, taken in members]


def test_one_step_fills_the_budget_and_goes_on_in_the_next_pass(run):
    only = run(4, 5, 3, 9)

    assert sizes(compose([only], 12)) == [[4, 5, 3]]
    assert sizes(compose([only], 12)) == [[9]]
    assert not only.pending


def test_a_small_step_is_done_in_one_pass_beside_a_large_one(run):
    large, small = run(*[10] * 50), run(6)

    members = compose([large, small], 40)

    assert sizes(members) == [[10, 10, 10], [6]]
    assert not small.pending


def test_what_one_step_does_not_need_goes_to_the_others(run):
    first, second, third = run(2), run(10, 10, 10, 10), run(*[10] * 10)

    assert sizes(compose([first, second, third], 62)) == [[2], [10, 10, 10], [10, 10, 10]]


def test_rows_that_later_steps_leave_go_to_the_first(run):
    assert sizes(compose([run(*[10] * 10), run(2)], 40)) == [[10, 10, 10], [2]]


def test_a_datum_longer_than_its_share_still_fits_the_whole(run):
    assert sizes(compose([run(30), run(5)], 40)) == [[30], [5]]


def test_a_datum_longer_than_the_budget_is_alone_in_its_pass(run):
    long, small = run(50, 3), run(5)

    assert sizes(compose([small, long], 40)) == [[5]]
    assert sizes(compose([long], 40)) == [[50]]


def test_a_datum_longer_than_the_budget_does_not_wait_for_others_to_end(run):
    long, others = run(50), run(*[10] * 50)

    assert sizes(compose([others, long], 40)) == [[10] * 4]
    assert sizes(compose([long, others], 40)) == [[50]]


def test_datums_that_came_with_other_inputs_wait_for_the_next_pass(run, base):
    mixed = StepRun(trained(base), step(datum(4, 0), datum(4, 1, extra=None), datum(4, 2)))

    first, second = compose([mixed], 100), compose([mixed], 100)

    assert [taken for _, taken in first] == [[1]]
    assert [sorted(taken) for _, taken in second] == [[0, 2]]
