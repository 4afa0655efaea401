"""The trees of the migrator's cases: the same each time, of the lengths they say, converted."""

from __future__ import annotations

import ast
import random
import statistics
from pathlib import Path

from mint_migrate.check.names import undefined_names

from benchmarks.scripts import FIXTURES, MEDIAN_LINES, make_modules, make_scripts, script_of


def lengths(folder: Path) -> list[int]:
    return [path.read_text().count("\n") for path in sorted(folder.glob("*.py"))]


def test_a_tree_is_the_same_each_time(tmp_path):
    first, second = make_scripts(tmp_path / "a", 5), make_scripts(tmp_path / "b", 5)
    assert [path.read_bytes() for path in sorted(first.iterdir())] == [
        path.read_bytes() for path in sorted(second.iterdir())
    ]


def test_scripts_are_as_long_as_real_ones(tmp_path):
    found = lengths(make_scripts(tmp_path / "a", 80))
    assert abs(statistics.median(found) / MEDIAN_LINES - 1) < 0.25
    assert max(found) <= 620


def test_a_script_that_was_lengthened_needs_nothing_it_lacks():
    text = script_of(FIXTURES / "sft_minimal.py", 300, random.Random(1))
    ast.parse(text)
    assert undefined_names(text) == ()
    assert 290 <= text.count("\n") <= 305


def test_modules_of_a_tree_use_no_framework(tmp_path):
    folder = make_modules(tmp_path / "lib", 10)
    assert len(lengths(folder)) == 10
    assert not any(b"import trl" in path.read_bytes() for path in folder.iterdir())
