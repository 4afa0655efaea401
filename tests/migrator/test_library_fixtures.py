"""Python files of users of verl and OpenRLHF: what is written, what is said, nothing is lost."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.dispatch import migrate_file
from mint_migrate.model.outcome import Migrated, Outcome, Skipped
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Options, Source
from support.cases import FIXTURES, libraries
from support.scripts import converted, outcome
from support.walker import counts, found

CASES = {case["id"]: case for case in libraries()}
READ = [name for name, case in CASES.items() if case["ends"] != "left"]
LAUNCHED = [name for name, case in CASES.items() if case["ends"] == "launched"]
WRITTEN = [name for name, case in CASES.items() if case["ends"] in {"converted", "partial"}]


@functools.cache
def migrate(name: str) -> Outcome:
    path = FIXTURES / CASES[name]["path"]
    content = path.read_bytes()
    source = Source(path=str(path), content=content, text=content.decode(), newline="\n")
    return migrate_file(source, Options(), None)


def migrated(name: str) -> Migrated:
    result = migrate(name)
    assert isinstance(result, Migrated), result
    return result


def test_every_file_has_exactly_one_case() -> None:
    folders = [FIXTURES / "before" / name / "python" for name in ("verl", "openrlhf")]
    files = [path for folder in folders for path in folder.glob("*.py")]
    paths = sorted(path.relative_to(FIXTURES).as_posix() for path in files)
    assert sorted(case["path"] for case in CASES.values()) == paths


@pytest.mark.parametrize("name", CASES)
def test_expected_counts_are_what_the_walker_finds(name: str) -> None:
    source = (FIXTURES / CASES[name]["path"]).read_text(encoding="utf-8")
    assert counts(source) == CASES[name]["expected"]


@pytest.mark.parametrize("name", READ)
def test_decisions_are_what_an_independent_walker_finds(name: str) -> None:
    ours = sorted(
        (item.found.kind.value, item.found.span.line, item.found.span.column)
        for item in migrated(name).decisions
    )
    source = (FIXTURES / CASES[name]["path"]).read_text(encoding="utf-8")
    assert ours == sorted((item.kind, item.line, item.column) for item in found(source))


@pytest.mark.parametrize("name", CASES)
def test_a_file_ends_as_its_case_says(name: str) -> None:
    result = migrate(name)
    if isinstance(result, Skipped):
        assert CASES[name]["ends"] == "left"
        assert result.code in {"MM360", "MM440"}
        return
    assert isinstance(result, Migrated)
    fidelities = {item.fidelity for item in result.decisions}
    if CASES[name]["ends"] == "launched":
        assert result.text is not None
        assert Fidelity.MANUAL not in fidelities
    elif result.text is not None:
        assert CASES[name]["ends"] == ("partial" if result.partial else "converted")
    elif fidelities == {Fidelity.EXACT}:
        assert CASES[name]["ends"] == "kept"
    else:
        assert (CASES[name]["ends"], fidelities) == ("manual", {Fidelity.MANUAL})


@pytest.mark.parametrize("name", [*WRITTEN, *LAUNCHED])
def test_conversion_is_the_reviewed_one(name: str, after: Any) -> None:
    folder = Path(CASES[name]["path"]).parent.relative_to("before").as_posix()
    assert converted(migrated(name)) == after(name=f"{folder}/{name}")


@pytest.mark.parametrize("name", READ)
def test_every_decision_but_exact_has_a_code_and_a_reason(name: str) -> None:
    bare = [
        item.found.name
        for item in migrated(name).decisions
        if item.fidelity is not Fidelity.EXACT and not (item.code and item.note)
    ]
    assert bare == []


@pytest.mark.parametrize("name", WRITTEN)
def test_a_todo_stands_where_something_is_for_a_person(name: str) -> None:
    result = migrated(name)
    manual = {item.code for item in result.decisions if item.fidelity is Fidelity.MANUAL}
    assert set(re.findall(r"TODO\[mint-migrate (MM\d+)\]", converted(result))) == manual


@pytest.mark.parametrize("name", WRITTEN)
def test_result_imports_nothing_of_verl(name: str) -> None:
    text = converted(migrated(name))
    modules = {
        node.module.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert not modules & {"verl", "openrlhf", "mint_migrate", "mint_runtime"}
    assert "import verl" not in text


@pytest.mark.parametrize("name", WRITTEN)
def test_functions_and_classes_of_the_user_keep_their_text(name: str) -> None:
    """Only names of verl that are written with their module change."""
    source = (FIXTURES / CASES[name]["path"]).read_text(encoding="utf-8")
    text = converted(migrated(name))
    if "verl_F." in source or "import verl\n" in source or "Worker(" in source:
        pytest.skip("names of verl with their module are replaced")
    pieces = [
        ast.get_source_segment(source, node) or ""
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    if CASES[name]["ends"] == "converted":
        assert [piece for piece in pieces if piece not in text] == []


@pytest.mark.parametrize("name", WRITTEN)
def test_a_converted_file_is_not_converted_again(name: str) -> None:
    again = outcome(converted(migrated(name)), path=f"{name}_mint.py")
    assert isinstance(again, Skipped)
