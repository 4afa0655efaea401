"""Projects of several files: what each conversion is, and that everything in them is decided."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from mint_migrate import files
from mint_migrate.batch import migrate_path
from mint_migrate.local.join import Joined, join_modules
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Options, Source
from support.scripts import converted
from support.walker import found

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
FOLDER = FIXTURES / "before" / "projects"
CASES = {
    Path(case["path"]).name: case
    for case in tomllib.loads((FIXTURES / "projects.toml").read_text(encoding="utf-8"))["project"]
}
CONVERTED = [name for name, case in CASES.items() if case.get("converts", True)]
Item = tuple[str, str, int, int]
"""(file, kind, line, column)"""


def migrated(name: str) -> Migrated:
    outcome, _ = migrate_path(FOLDER / name / "train.py", Options(), FOLDER / name)
    assert isinstance(outcome, Migrated), outcome
    return outcome


def items_of(name: str) -> list[Item]:
    folder = FOLDER / name
    return [
        (
            os.path.relpath(item.found.path, folder) if item.found.path else "train.py",
            item.found.kind.value,
            item.found.span.line,
            item.found.span.column,
        )
        for item in migrated(name).decisions
    ]


def walked(path: Path) -> list[Item]:
    """Return what the walker finds in a file by itself."""
    text = path.read_text(encoding="utf-8")
    return [(path.name, each.kind, each.line, each.column) for each in found(text)]


def test_every_project_has_a_case() -> None:
    assert sorted(CASES) == sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", CONVERTED)
def test_conversion_is_the_reviewed_one(name: str, after) -> None:
    assert converted(migrated(name)) == after(name=f"projects/{name}")


@pytest.mark.parametrize("name", CONVERTED)
def test_decisions_are_what_the_walker_finds_in_the_joined_module(name: str) -> None:
    source = files.read(FOLDER / name / "train.py")
    assert isinstance(source, Source)
    joined = [
        join_modules(source, FOLDER / name, everything=everything) for everything in (False, True)
    ]
    ours = sorted(items_of(name))
    theirs = [_placed(each, name) for each in joined if isinstance(each, Joined)]
    assert ours in theirs
    assert Counter(kind for _, kind, _, _ in ours) == CASES[name]["expected"]


def _placed(joined: Joined, name: str) -> list[Item]:
    folder = FOLDER / name
    items = []
    for each in found(joined.text):
        path, line, column = joined.place(each.line, each.column)
        items.append((os.path.relpath(path, folder), each.kind, line, column))
    return sorted(items)


@pytest.mark.parametrize("name", CONVERTED)
def test_what_the_walker_finds_in_the_script_alone_is_decided(name: str) -> None:
    path = FOLDER / name / "train.py"
    lines = path.read_text(encoding="utf-8").split("\n")
    # Where the keys behind `**x` are known, they are the items.
    theirs = {item for item in walked(path) if lines[item[2] - 1][item[3] - 1 :][:2] != "**"}
    assert theirs <= set(items_of(name))


@pytest.mark.parametrize("name", CONVERTED)
def test_what_comes_is_what_the_case_says_and_the_rest_is_imported(name: str) -> None:
    text = converted(migrated(name))
    taken = CASES[name]["taken"]
    marks = [line for line in text.split("\n") if line.startswith("# From ")]
    assert sorted(marks) == sorted(f"# From {path}." for path in taken)
    modules = {path.removesuffix(".py").replace("/", ".") for path in taken}
    assert not [module for module in modules if f"from {module} import" in text]
    assert "trl" not in {line.partition("from ")[2].split(" ")[0] for line in text.split("\n")}


def test_what_cannot_be_followed_is_named_with_its_place() -> None:
    outcome = migrated("starred")
    assert outcome.text is None
    assert {item.fidelity for item in outcome.decisions} == {Fidelity.MANUAL}
    assert "train.py, line 1: a star import does not say what is needed" in outcome.notices[-1]
