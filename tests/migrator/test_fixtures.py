"""Every fixture is migrated: its conversion is a snapshot, and its decisions cover what an
independent walker finds.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mint_migrate.analyse.facts import collect
from mint_migrate.analyse.text import SourceText
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.cases import cases
from support.scripts import converted, outcome
from support.walker import found

ROOT = Path(__file__).resolve().parents[2]
BEFORE = ROOT / "fixtures" / "before"
TRL = sorted(
    path.relative_to(BEFORE).with_suffix("").as_posix() for path in BEFORE.glob("trl/*.py")
)
NOT_CONVERTED = sorted(
    case["path"].removeprefix("before/").removesuffix(".py")
    for case in cases()
    if not case.get("converts", True)
)
"""Shapes that end as `manual`, each with its reason; may only shrink."""
PINNED = {
    case["path"].removeprefix("before/").removesuffix(".py"): case["source_version"].split("==")[1]
    for case in cases()
    if case.get("pinned")
}
"""Releases of scripts whose options do not tell them from newer ones."""
OPTIONS = {
    case["path"].removeprefix("before/").removesuffix(".py"): case["options"]
    for case in cases()
    if "options" in case
}
"""What a shape is migrated with besides the defaults."""
CONVERTED = [case for case in TRL if case not in NOT_CONVERTED]


@functools.cache
def migrate(case: str) -> Migrated:
    path = BEFORE / f"{case}.py"
    text = path.read_text(encoding="utf-8")
    options = OPTIONS.get(case, {})
    result = outcome(text, path=path.name, source_version=PINNED.get(case), **options)
    assert isinstance(result, Migrated), result
    return result


@pytest.mark.parametrize("case", TRL)
def test_decisions_are_what_an_independent_walker_finds(case: str) -> None:
    result = migrate(case)
    ours = sorted(
        (item.found.kind.value, item.found.span.line, item.found.span.column)
        for item in result.decisions
    )
    theirs = sorted(
        (item.kind, item.line, item.column)
        for item in found((BEFORE / f"{case}.py").read_text(encoding="utf-8"))
    )
    assert ours == theirs


@pytest.mark.parametrize("case", CONVERTED)
def test_conversion_is_the_reviewed_one(case: str, after) -> None:
    assert converted(migrate(case)) == after(name=case)


@pytest.mark.parametrize("case", NOT_CONVERTED)
def test_what_is_not_converted_says_why_and_writes_nothing(case: str) -> None:
    result = migrate(case)
    assert result.text is None
    assert {item.fidelity for item in result.decisions} == {Fidelity.MANUAL}
    assert all(item.code and item.note for item in result.decisions)


@pytest.mark.parametrize("case", TRL)
def test_every_decision_but_exact_has_a_code_and_a_reason(case: str) -> None:
    bare = [
        item.found.name
        for item in migrate(case).decisions
        if item.fidelity is not Fidelity.EXACT and not (item.code and item.note)
    ]
    assert bare == []


@pytest.mark.parametrize("case", CONVERTED)
def test_a_todo_stands_in_the_result_exactly_when_something_is_for_a_person(case: str) -> None:
    result = migrate(case)
    manual = {item.code for item in result.decisions if item.fidelity is Fidelity.MANUAL}
    marked = set(re.findall(r"TODO\[mint-migrate (MM\d+)\]", converted(result)))
    assert bool(manual) == bool(marked), (manual, marked)
    assert marked <= manual | {"MM228", "MM230"}


@pytest.mark.parametrize("case", CONVERTED)
def test_same_input_gives_the_same_bytes(case: str) -> None:
    assert migrate.__wrapped__(case).text == migrate(case).text


@pytest.mark.parametrize("case", CONVERTED)
def test_result_imports_nothing_of_ours_and_nothing_it_left_behind(case: str) -> None:
    tree = ast.parse(converted(migrate(case)))
    modules = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert "mint" in modules
    assert not modules & {"mint_migrate", "mint_runtime", "tinker", "trl", "peft", "bitsandbytes"}


@pytest.mark.parametrize("case", CONVERTED)
def test_statements_that_are_not_the_frameworks_keep_their_text(case: str) -> None:
    """Functions and classes of the user's that mention nothing of a source package are in the
    result unchanged.
    """
    text = (BEFORE / f"{case}.py").read_text(encoding="utf-8")
    result = migrate(case)
    touched = {item.found.span.line for item in result.decisions}
    touched |= {item.span.line for item in collect(text, ast.parse(text)).references}
    source = SourceText(text)
    untouched = [
        source.of(node)
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not touched & set(range(node.lineno, (node.end_lineno or 0) + 1))
    ]
    assert [piece for piece in untouched if piece not in converted(result)] == []


def findings(folder: Path) -> set[tuple[str, str, str]]:
    """Return (file, code, message) of what ruff finds with its own defaults."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--output-format=json"]
    checked = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    found = json.loads(checked.stdout)
    return {(Path(item["filename"]).name, item["code"], item["message"]) for item in found}


def test_conversions_have_no_finding_of_ruff_that_their_originals_do_not_have(
    tmp_path: Path,
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    for case in CONVERTED:
        name = f"{Path(case).name}.py"
        (before / name).write_bytes((BEFORE / f"{case}.py").read_bytes())
        (after / name).write_text(converted(migrate(case)), encoding="utf-8")
    assert sorted(findings(after) - findings(before)) == []
