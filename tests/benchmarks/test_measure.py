"""The arithmetic of comparisons."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from benchmarks.measure import (
    Figure,
    Series,
    Side,
    better,
    build_rows,
    interleave,
    percentile,
    spread_of,
)

SPEED = Figure(name="speed", unit="tokens/s", ratio_targets={"peer": 2.0}, limit=40.0)
DELAY = Figure(name="delay", unit="ms", more_is_better=False, target=5.0, limit=1.0)


def series(name, *values):
    return Series(cold_start_s=1.0, rounds=tuple({name: value} for value in values))


def recording_side(name, log):
    @contextmanager
    def open_side():
        log.append(f"open {name}")

        def measure():
            log.append(name)
            return {"speed": 1.0}

        yield measure
        log.append(f"close {name}")

    return Side(name=name, open=open_side)


def test_sides_take_turns_after_their_warm_ups():
    log = []
    interleave([recording_side("a", log), recording_side("b", log)], repeats=3, warmups=2)
    assert log == ["open a", "a", "open b", "b", *"ababab", "a", "b", "close b", "close a"]


def test_warm_ups_are_not_among_the_rounds():
    found = interleave([recording_side("a", [])], repeats=3, warmups=2)
    assert len(found["a"].rounds) == 3


@pytest.mark.parametrize(
    ("figure", "value", "other", "expected"),
    [(SPEED, 30, 10, 3), (SPEED, 10, 30, 1 / 3), (DELAY, 10, 30, 3), (DELAY, 30, 10, 1 / 3)],
)
def test_a_ratio_above_one_is_ahead_in_either_direction(figure, value, other, expected):
    assert better(value, other, figure) == pytest.approx(expected)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 1.0), (3.0, 0.0)])
def test_a_bound_of_zero_is_met_by_zero_only(value, expected):
    assert better(value, 0.0, DELAY) == expected


def test_a_row_compares_medians_and_gives_the_range_of_rounds():
    _, row = build_rows(series("speed", 10, 30, 20), {"peer": series("speed", 5, 10, 20)}, SPEED)
    assert (row.value, row.peer_value, row.ratio) == (20, 10, 2)
    assert row.ratio_range == (1, 3)
    assert row.is_met


def test_a_peer_below_its_target_ratio_is_a_miss():
    _, row = build_rows(series("speed", 19), {"peer": series("speed", 10)}, SPEED)
    assert row.is_met is False


def test_the_fraction_of_the_limit_is_at_most_one_in_either_direction():
    (speed,) = build_rows(series("speed", 10), {}, SPEED)
    (delay,) = build_rows(series("delay", 4), {}, DELAY)
    assert (speed.fraction, delay.fraction) == (0.25, 0.25)


@pytest.mark.parametrize(("value", "is_met"), [(4.0, True), (6.0, False)])
def test_a_bound_on_the_value_decides_the_row_without_a_peer(value, is_met):
    (row,) = build_rows(series("delay", value), {}, DELAY)
    assert row.is_met is is_met


def test_a_peer_without_the_figure_has_no_row():
    rows = build_rows(series("speed", 10), {"peer": series("other", 10)}, SPEED)
    assert [row.peer for row in rows] == [None]


def test_the_spread_has_quartiles_of_the_rounds():
    spread = spread_of([5, 1, 2, 4, 3])
    assert (spread.min, spread.lower_quartile, spread.median) == (1, 2, 3)
    assert (spread.upper_quartile, spread.max) == (4, 5)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 2.5), (100, 4), (99, 3.97)])
def test_percentiles_interpolate(percent, expected):
    assert percentile([4, 1, 3, 2], percent) == pytest.approx(expected)
