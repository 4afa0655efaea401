"""What is recorded beside the figures."""

from __future__ import annotations

import json

import pytest

from benchmarks.report import command_of, versions, write_json


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["T1", "--json", "out/T1.json"], "python -m benchmarks T1"),
        (["T1", "--json", "out", "--repeats", "3"], "python -m benchmarks T1 --repeats 3"),
        (["all"], "python -m benchmarks all"),
    ],
)
def test_the_command_is_recorded_without_its_target(arguments, expected):
    assert command_of(arguments) == expected


def test_versions_of_what_decides_the_figures_are_recorded():
    assert {"python", "torch", "transformers", "tinker"} <= versions().keys()


def test_results_are_written_whole_into_a_new_folder(tmp_path):
    path = tmp_path / "results" / "T1.json"
    write_json(path, {"case": "T1"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"case": "T1"}
    assert [each.name for each in path.parent.iterdir()] == ["T1.json"]
