"""The page says what the results say, and each missed target plainly."""

from __future__ import annotations

import json

import pytest

from benchmarks.measure import Figure, Series, build_rows
from benchmarks.page import number, render


def document(case, value, peer_value):
    figure = Figure(name="speed", unit="tokens/s", ratio_targets={"peer": 2.0}, limit=100.0)
    ours, theirs = (
        Series(cold_start_s=1.0, rounds=({"speed": each},)) for each in (value, peer_value)
    )
    rows = [row.to_json() for row in build_rows(ours, {"peer": theirs}, figure)]
    return json.loads(
        json.dumps(
            {
                "case": case,
                "title": "a case",
                "workload": "some work",
                "command": f"python -m benchmarks {case}",
                "machine": {"load": 1.25},
                "rows": rows,
                "notes": ["A note."],
            }
        )
    )


def test_a_missed_target_is_marked():
    text = render([document("T1", 15.0, 10.0)], "# Page\n")
    assert "| T1 | speed | 2 times as good as peer | 1.50 | **missed** |" in text


def test_a_met_target_is_not_marked():
    text = render([document("T1", 25.0, 10.0)], "# Page\n")
    assert "| 2.50 | met |" in text
    assert "missed" not in text


def test_figures_stand_beside_their_peer_and_limit():
    text = render([document("T1", 25.0, 10.0)], "# Page\n")
    assert "| speed | tokens/s | 25 | peer | 10 | 2.50 (2.50 to 2.50) | 25% |" in text


def test_the_command_stands_beside_its_figures():
    text = render([document("T1", 25.0, 10.0)], "# Page\n")
    assert "    python -m benchmarks T1    # load average 1.2" in text


def test_a_figure_with_a_peer_has_no_line_without_one():
    text = render([document("T1", 25.0, 10.0)], "# Page\n")
    assert text.count("| speed | tokens/s |") == 1


def test_cases_come_in_the_order_of_their_families():
    names = ("S1", "T2", "T1", "soak", "L1")
    text = render([document(name, 1.0, 1.0) for name in names], "# Page\n")
    places = [text.index(f"## {name}:") for name in ("T1", "T2", "L1", "S1", "soak")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (1234.5, "1,234"), (12.345, "12.3"), (0.05, "0.05"), (2.5e-7, "2.5e-07")],
)
def test_numbers_are_short(value, expected):
    assert number(value) == expected
