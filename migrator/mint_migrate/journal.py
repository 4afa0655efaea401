"""The journal of replaced files, and undoing it.

`.mint-migrate/` at the project's root keeps, for each run that replaced a file of the user's, the
original bytes under their hash and a list of what was replaced:

    .mint-migrate/runs/000001/manifest.json
    .mint-migrate/runs/000001/<sha256 of the original>

A run is recorded before the first file is touched, so that a run cut short can be undone as well.
Undoing compares hashes: a file edited since is left alone unless forced.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mint_migrate import __version__, files
from mint_migrate.errors import JournalError
from mint_migrate.project import find_root

FOLDER = ".mint-migrate"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """One file before and after a run."""

    path: Path
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A line of a manifest. `path` is relative to the project's root, with forward slashes."""

    path: str
    before: str
    after: str


def record(replacements: Sequence[Replacement]) -> None:
    """Keep the originals of *replacements*, as one run in the journal of each project concerned.

    Raises:
        WriteError: the journal cannot be written; nothing has been replaced then.
    """
    by_root: dict[Path, list[Replacement]] = {}
    for replacement in replacements:
        by_root.setdefault(find_root(replacement.path), []).append(replacement)
    for root, group in sorted(by_root.items()):
        _record_run(root, group)


def undo(path: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Restore what the last run replaced, and return the files restored.

    Args:
        path: a replaced file, for the last run that replaced it, restoring it alone; or a folder,
            for the whole last run of the project it lies in.
        force: restore a file although it was edited after the run.

    Raises:
        JournalError: MM113: there is no such run, or a file was edited since; nothing is
            restored then.
        WriteError: a file cannot be written.
    """
    root = find_root(path)
    wanted = None if path.is_dir() else _relative(root, path)
    run = _last_run(root, wanted)
    if run is None:
        subject = f"no run replaced `{path}`" if wanted else f"no run to undo in `{root}`"
        raise JournalError(
            subject, "MM113", hint="`mint-migrate --in-place` records what it replaces"
        )
    entries = _entries(run)
    chosen = [entry for entry in entries if wanted in (None, entry.path)]
    for entry in chosen:
        _check_unedited(root, entry, force=force)
    for entry in chosen:
        files.write(root / entry.path, (run / entry.before).read_bytes())
    _forget(run, [entry for entry in entries if entry not in chosen])
    return tuple(root / entry.path for entry in chosen)


def uncommitted(path: Path) -> str:
    """Return why git could not bring *path* back, or an empty text when it could.

    `git status` runs with the repository's own hooks switched off (`core.fsmonitor` names a
    program): looking at a project must not execute it.
    """
    import subprocess

    command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain=v1", "--ignored", "--"]
    try:
        done = subprocess.run(
            [*command, path.name],
            cwd=path.parent,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "git is not installed"
    if done.returncode:
        return "it is not in a git repository"
    state = done.stdout[:2]
    reasons = {"": "", "??": "git does not track it", "!!": "git ignores it"}
    return reasons.get(state, "it has uncommitted changes")


def _record_run(root: Path, replacements: Sequence[Replacement]) -> None:
    folder = root / FOLDER
    numbers = [int(run.name) for run in _runs(root)]
    run = folder / "runs" / f"{max(numbers, default=0) + 1:06d}"
    files.write(folder / ".gitignore", b"*\n")
    for replacement in replacements:
        files.write(run / _sha256(replacement.before), replacement.before)
    entries = [
        _Entry(
            path=_relative(root, replacement.path),
            before=_sha256(replacement.before),
            after=_sha256(replacement.after),
        )
        for replacement in replacements
    ]
    _write_manifest(run, entries)


def _write_manifest(run: Path, entries: Sequence[_Entry]) -> None:
    listed = [
        {"path": entry.path, "before": entry.before, "after": entry.after} for entry in entries
    ]
    manifest = {"version": _VERSION, "tool": f"mint-migrate {__version__}", "files": listed}
    files.write(run / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())


def _runs(root: Path) -> list[Path]:
    """Return the folders of the recorded runs, oldest first."""
    return sorted(path for path in (root / FOLDER / "runs").glob("*") if path.name.isdecimal())


def _entries(run: Path) -> list[_Entry]:
    try:
        manifest = json.loads((run / "manifest.json").read_bytes())
    except FileNotFoundError:
        # The run was cut short before it touched a file.
        return []
    if manifest.get("version") != _VERSION:
        raise JournalError(
            f"the journal has version {manifest.get('version')}; this release reads {_VERSION}",
            "MM113",
            os.fspath(run),
        )
    return [_Entry(**entry) for entry in manifest["files"]]


def _last_run(root: Path, wanted: str | None) -> Path | None:
    for run in reversed(_runs(root)):
        entries = _entries(run)
        if any(wanted in (None, entry.path) for entry in entries):
            return run
    return None


def _check_unedited(root: Path, entry: _Entry, *, force: bool) -> None:
    path = root / entry.path
    if force or not path.exists():
        return
    if _sha256(path.read_bytes()) not in (entry.after, entry.before):
        raise JournalError(
            "the file was edited since it was replaced; it is left as it is",
            "MM113",
            os.fspath(path),
            hint="`--force` restores the original and loses the edits",
        )


def _forget(run: Path, remaining: Sequence[_Entry]) -> None:
    """Take what was restored out of the journal; a run with nothing left disappears."""
    if remaining:
        _write_manifest(run, remaining)
        return
    # The manifest goes first: without it the rest is a run that never began.
    for path in sorted(run.iterdir(), key=lambda path: path.name != "manifest.json"):
        path.unlink()
    run.rmdir()


def _relative(root: Path, path: Path) -> str:
    return path.resolve().relative_to(root).as_posix()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
