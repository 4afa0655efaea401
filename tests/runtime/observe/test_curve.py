"""Curves of bounded size."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mint_runtime.observe.curve import Curve

values_of = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400)


def curve(values: list[float], max_points: int) -> Curve:
    made = Curve(max_points)
    for value in values:
        made.add(value)
    return made


def test_a_short_run_keeps_every_value() -> None:
    assert curve([5.0, 4.0, 3.0], 4).points() == ((1.0, 5.0), (2.0, 4.0), (3.0, 3.0))


def test_a_longer_run_averages_neighbours() -> None:
    made = curve([1.0, 3.0, 5.0, 7.0, 9.0], 4)
    # Two pairs, and the fifth value alone until the sixth comes.
    assert made.points() == ((1.5, 2.0), (3.5, 6.0), (5.0, 9.0))


@given(values_of, st.sampled_from([2, 4, 10]))
def test_a_curve_never_has_more_points_than_it_may(values: list[float], size: int) -> None:
    # One more for the values that do not fill a point yet.
    assert len(curve(values, size).points()) <= size + 1


@given(values_of)
def test_a_curve_covers_the_whole_run_in_order(values: list[float]) -> None:
    places = [place for place, _ in curve(values, 10).points()]
    assert places == sorted(places)
    stride = len(values) / len(places)
    assert places[0] <= stride + 1
    assert places[-1] <= len(values)


@given(values_of)
def test_the_values_of_a_curve_stay_within_those_of_the_run(values: list[float]) -> None:
    # Averages of floats may leave the range by a rounding error.
    slack = 1e-9 * max(1.0, *map(abs, values))
    for _, value in curve(values, 10).points():
        assert min(values) - slack <= value <= max(values) + slack


def test_what_is_not_finite_is_left_out() -> None:
    assert curve([1.0, math.nan, math.inf, 2.0], 4).points() == ((1.0, 1.0), (2.0, 2.0))


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_size_that_cannot_be_paired_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="even"):
        Curve(size)
