"""Writing generated files."""

from __future__ import annotations

import pytest
from mint_migrate import resources
from mint_migrate.tables.outputs import stale, write_atomic


def test_a_written_file_has_the_text_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file.md"
    write_atomic(path, "first\n")
    write_atomic(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert [item.name for item in path.parent.iterdir()] == ["file.md"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.md"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.md"]


def test_stale_names_missing_and_different_files(tmp_path):
    same, other, missing = (tmp_path / name for name in ("a", "b", "c"))
    write_atomic(same, "1")
    write_atomic(other, "2")
    assert stale({same: "1", other: "1", missing: "1"}) == [other, missing]


def test_data_of_the_wheel_comes_before_that_of_the_checkout(tmp_path, monkeypatch):
    package = tmp_path / "migrator" / "mint_migrate"
    package.mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    with pytest.raises(FileNotFoundError, match="reinstall mint-migrate"):
        resources.data_dir("mappings")
    (tmp_path / "mappings").mkdir()
    assert resources.data_dir("mappings") == tmp_path / "mappings"
    (package / "_data" / "mappings").mkdir(parents=True)
    assert resources.data_dir("mappings") == package / "_data" / "mappings"
