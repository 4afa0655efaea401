"""Growth over time is seen, and nothing else is taken for it."""

from __future__ import annotations

import pytest

from benchmarks.growth import growth

TIMES = tuple(float(minute) for minute in range(40))


def test_a_steady_rise_is_measured_over_the_later_time():
    assert growth(TIMES, [100 + 2 * time for time in TIMES]) == pytest.approx(2 * 29)


def test_what_fills_in_the_beginning_is_no_growth():
    assert growth(TIMES, [min(time, 8.0) for time in TIMES]) == pytest.approx(0)


def test_coming_and_going_is_no_growth():
    assert abs(growth(TIMES, [time % 2 for time in TIMES])) < 0.1


def test_a_few_records_are_refused():
    with pytest.raises(ValueError, match="run for longer"):
        growth([0.0, 1.0], [1.0, 2.0])
