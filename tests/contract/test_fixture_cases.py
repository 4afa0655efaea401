"""`fixtures/cases/` names every fixture and counts it as the walker does."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cases import FIXTURES, cases
from support.walker import counts

FOLDERS = ("before/trl", "before/other", "broken")
CASES = cases()
COUNTED = [case for case in CASES if "expected" in case]
UNREADABLE = {"does_not_parse", "latin1", "notes"}


def test_every_fixture_has_exactly_one_case() -> None:
    files = [path for folder in FOLDERS for path in (FIXTURES / folder).iterdir() if path.is_file()]
    paths = sorted(path.relative_to(FIXTURES).as_posix() for path in files)
    assert sorted(case["path"] for case in CASES) == paths


def test_case_ids_are_unique() -> None:
    assert len({case["id"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", COUNTED, ids=lambda case: case["id"])
def test_expected_counts_are_what_the_walker_finds(case: dict) -> None:
    source = (FIXTURES / case["path"]).read_text(encoding="utf-8")
    assert counts(source) == case["expected"]


def test_only_unreadable_cases_have_no_counts() -> None:
    assert {case["id"] for case in CASES if "expected" not in case} == UNREADABLE


@pytest.mark.parametrize("case", [case for case in CASES if "data" in case], ids=lambda c: c["id"])
def test_data_named_by_a_case_is_in_its_script(case: dict) -> None:
    source = (FIXTURES / case["path"]).read_text(encoding="utf-8")
    named = [data["name"] for data in case["data"] if data["kind"] != "inline"]
    assert all(name in source for name in [*named, *case["models"]])


@pytest.mark.parametrize("path", sorted((FIXTURES / "data").iterdir()), ids=lambda path: path.name)
def test_data_file_is_small_enough_to_read(path: Path) -> None:
    assert path.stat().st_size <= 20 * 1024
