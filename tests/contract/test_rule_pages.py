"""Every reason code has a page with the fixed headings, and snippets that compile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mint_migrate.tables.lookup import load_tables
from mint_migrate.tables.pages import FAMILIES

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "rules"
TABLES = load_tables()
HEADINGS = ["Finds", "Writes", "Fidelity", "What is lost", "Example", "What to do"]


@pytest.mark.parametrize("code", TABLES.codes)
def test_a_page_has_the_fixed_headings_in_order(code):
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [heading for heading in headings if heading in HEADINGS] == HEADINGS
    assert headings[-1] == "Source"
    assert f"# {code}: {TABLES.rule(code).title}" in text


@pytest.mark.parametrize("code", TABLES.codes)
def test_the_snippets_compile(code):
    rule = TABLES.rule(code)
    compile(rule.before, f"{code}-before", "exec")
    compile(rule.after, f"{code}-after", "exec")


@pytest.mark.parametrize("code", TABLES.codes)
def test_a_marker_in_a_snippet_carries_the_code_of_its_page(code):
    rule = TABLES.rule(code)
    assert set(re.findall(r"TODO\[mint-migrate (MM\d+)\]", rule.after)) <= {code}


@pytest.mark.parametrize("code", TABLES.codes)
def test_a_code_belongs_to_a_family_and_stands_in_the_list(code):
    assert code[2] in FAMILIES
    assert f"[{code}]({code}.md)" in (PAGES / "README.md").read_text(encoding="utf-8")


def test_there_is_no_page_without_a_code():
    assert {path.stem for path in PAGES.glob("MM*.md")} == set(TABLES.codes)


def test_every_code_the_program_emits_has_a_page():
    code = re.compile(r"\bMM\d{3,4}\b")
    used = {
        found
        for path in (ROOT / "migrator").rglob("*.py")
        for found in code.findall(path.read_text(encoding="utf-8"))
    }
    assert used - set(TABLES.codes) - {"MM999"} == set()


def test_an_unknown_code_is_refused_with_the_known_ones():
    with pytest.raises(KeyError, match="no reason code `MM000`; there are MM101"):
        TABLES.rule("MM000")
