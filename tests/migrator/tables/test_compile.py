"""Compiling the tables: the index says what the YAML says, and `--check` notices a difference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mint_migrate.resources import data_dir
from mint_migrate.tables import compile as compiler
from mint_migrate.tables.load import load_folder
from mint_migrate.tables.lookup import Tables

MAPPINGS = data_dir("mappings")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the tables that the compiler takes for the checkout."""
    shutil.copytree(MAPPINGS, tmp_path / "mappings")
    monkeypatch.setattr(compiler, "checkout_dir", lambda name: tmp_path / name)
    assert compiler.main([]) == 0
    return tmp_path


def test_every_row_survives_the_index_unchanged():
    loaded = load_folder(MAPPINGS)
    upstream = MAPPINGS / "_upstream"
    index = json.loads(compiler.dump_index(compiler.build_index(loaded, upstream)))
    parts = compiler.build_parts(loaded, upstream)
    tables = Tables(index, lambda name: json.loads(compiler.dump_index(parts[name])))
    assert sorted(tables, key=lambda row: (row.id, row.since or "")) == sorted(
        loaded.rows, key=lambda row: (row.id, row.since or "")
    )
    assert [tables.rule(rule.code) for rule in loaded.rules] == loaded.rules
    assert list(tables.target.values()) == loaded.target


def test_compiling_twice_gives_the_same_bytes(checkout):
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}
    assert compiler.main([]) == 0
    assert {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()} == before


def test_check_is_quiet_when_all_is_current(checkout, capsys):
    assert compiler.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["mappings/index.json", "docs/rules/MM211.md"])
def test_check_names_a_file_that_was_edited(checkout, capsys, name):
    (checkout / name).write_text("edited", encoding="utf-8")
    assert compiler.main(["--check"]) == 1
    assert f"out of date: {checkout / name}" in capsys.readouterr().err


def test_a_page_without_its_code_is_noticed_and_then_removed(checkout, capsys):
    page = checkout / "docs" / "rules" / "MM299.md"
    page.write_text("old", encoding="utf-8")
    assert compiler.main(["--check"]) == 1
    assert "MM299.md" in capsys.readouterr().err
    assert compiler.main([]) == 0
    assert not page.exists()


def test_faulty_tables_are_reported_and_nothing_is_written(checkout, capsys):
    table = checkout / "mappings" / "bitsandbytes" / "names.yaml"
    table.write_text(table.read_text().replace("fidelity: manual", "fidelity: maybe", 1))
    before = (checkout / "mappings" / "index.json").read_bytes()
    assert compiler.main([]) == 2
    assert "mappings/bitsandbytes/names.yaml:" in capsys.readouterr().err
    assert (checkout / "mappings" / "index.json").read_bytes() == before


def test_the_index_has_one_row_a_line():
    text = (MAPPINGS / "index.json").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith('"trl.SFTConfig.max_length"')]
    # Once as a row; recorded surfaces name the field without its class.
    assert len(lines) == 1
    # Every command parses it: 1.2 MB take about 14 ms of the 250 that a question may take.
    assert Path(MAPPINGS / "index.json").stat().st_size < 1_200_000
