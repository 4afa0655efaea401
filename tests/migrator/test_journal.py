"""The journal of replaced files: recording, undoing, refusing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mint_migrate import journal
from mint_migrate.errors import JournalError
from mint_migrate.journal import Replacement


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def replace(*paths: Path, after: bytes = b"after\n") -> None:
    """Record and replace *paths*, as an in-place run does."""
    journal.record([Replacement(path=p, before=p.read_bytes(), after=after) for p in paths])
    for path in paths:
        path.write_bytes(after)


def script(folder: Path, name: str = "train.py", content: bytes = b"before\r\n") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_undo_restores_the_bytes_and_empties_the_journal(project):
    path = script(project)
    replace(path)
    assert journal.undo(project) == (path,)
    assert path.read_bytes() == b"before\r\n"
    assert list((project / ".mint-migrate" / "runs").iterdir()) == []


def test_undo_restores_the_mode(project):
    path = script(project)
    path.chmod(0o755)
    replace(path)
    journal.undo(path)
    assert path.stat().st_mode & 0o777 == 0o755


def test_the_journal_lies_at_the_root_and_git_does_not_see_it(project):
    path = script(project / "sub")
    replace(path)
    assert (project / ".mint-migrate" / ".gitignore").read_text() == "*\n"
    assert not (project / "sub" / ".mint-migrate").exists()


def test_without_a_project_the_journal_lies_beside_the_file(tmp_path):
    path = script(tmp_path / "loose")
    replace(path)
    assert journal.undo(path) == (path,)


def test_the_last_run_is_undone_first(project):
    path = script(project, content=b"one\n")
    replace(path, after=b"two\n")
    replace(path, after=b"three\n")
    journal.undo(project)
    assert path.read_bytes() == b"two\n"
    journal.undo(project)
    assert path.read_bytes() == b"one\n"


def test_one_file_of_a_run_can_be_undone_alone(project):
    first, second = script(project, "a.py"), script(project, "b.py")
    replace(first, second)
    assert journal.undo(first) == (first,)
    assert second.read_bytes() == b"after\n"
    assert journal.undo(project) == (second,)


def test_an_edited_file_is_left_alone_and_so_is_the_rest_of_its_run(project):
    first, second = script(project, "a.py"), script(project, "b.py")
    replace(first, second)
    second.write_bytes(b"after, edited\n")
    with pytest.raises(JournalError, match="MM113") as caught:
        journal.undo(project)
    assert caught.value.path == str(second)
    assert (first.read_bytes(), second.read_bytes()) == (b"after\n", b"after, edited\n")


def test_force_undoes_an_edited_file(project):
    path = script(project)
    replace(path)
    path.write_bytes(b"edited\n")
    journal.undo(project, force=True)
    assert path.read_bytes() == b"before\r\n"


def test_a_file_deleted_since_comes_back(project):
    path = script(project)
    replace(path)
    path.unlink()
    journal.undo(path)
    assert path.read_bytes() == b"before\r\n"


def test_a_run_cut_short_after_recording_can_be_undone(project):
    first, second = script(project, "a.py"), script(project, "b.py")
    journal.record(
        [Replacement(path=p, before=b"before\r\n", after=b"after\n") for p in (first, second)]
    )
    first.write_bytes(b"after\n")
    journal.undo(project)
    assert first.read_bytes() == second.read_bytes() == b"before\r\n"


def test_a_run_cut_short_while_recording_is_passed_over(project):
    path = script(project)
    replace(path)
    (project / ".mint-migrate" / "runs" / "000002").mkdir()
    assert journal.undo(project) == (path,)


@pytest.mark.parametrize("inner", ["", "train.py"])
def test_nothing_to_undo_is_an_error(project, inner):
    script(project)
    with pytest.raises(JournalError, match="MM113"):
        journal.undo(project / inner)


def git(folder: Path, *args: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    script(tmp_path)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_a_committed_file_can_be_brought_back(repository):
    assert journal.uncommitted(repository / "train.py") == ""


def test_a_changed_file_has_uncommitted_changes(repository):
    script(repository, content=b"changed\n")
    assert journal.uncommitted(repository / "train.py") == "it has uncommitted changes"


def test_another_file_does_not_matter(repository):
    script(repository, "other.py")
    assert journal.uncommitted(repository / "train.py") == ""


def test_an_untracked_file_cannot_be_brought_back(repository):
    assert journal.uncommitted(script(repository, "new.py")) == "git does not track it"


def test_an_ignored_file_cannot_be_brought_back(repository):
    (repository / ".gitignore").write_text("new.py\n")
    assert journal.uncommitted(script(repository, "new.py")) == "git ignores it"


def test_a_file_outside_a_repository_cannot_be_brought_back(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert journal.uncommitted(script(tmp_path)) == "it is not in a git repository"


def test_without_git_nothing_can_be_brought_back(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert journal.uncommitted(repository / "train.py") == "git is not installed"


def test_asking_git_runs_no_program_of_the_repository(repository):
    hook = repository / "hook.sh"
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", "./hook.sh")
    journal.uncommitted(repository / "train.py")
    assert not (repository / "ran").exists()
