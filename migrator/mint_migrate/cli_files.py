"""The small commands about files: `todo`, `undo` and `schema`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mint_migrate import console, files, journal
from mint_migrate.gather import walk
from mint_migrate.model.outcome import Failed
from mint_migrate.model.source import Source, shown_place
from mint_migrate.outputs import markers
from mint_migrate.todo import Todo


def todo(paths: Sequence[Path], *, format_: str = "text") -> int:
    """List the markers under *paths* on stdout; return 1 while one is left, 2 for a bad path."""
    console.check_format(format_)
    found: list[tuple[str, Todo]] = []
    failures: list[Failed] = []
    for path in _scripts(paths):
        source = files.read(path)
        if isinstance(source, Source):
            found += [(source.path, marker) for marker in markers(source.text, path.suffix)]
        elif isinstance(source, Failed) and path in paths:
            failures.append(source)
    if format_ == "json":
        console.out(json.dumps([_as_dict(*each) for each in found], indent=2) + "\n")
    else:
        for shown, marker in found:
            place = f"{shown}:{shown_place(marker.line, marker.column, marker.cell)}"
            console.out(f"{place}: {marker.code} {marker.message}\n")
    for failed in failures:
        console.err_failed(failed)
    noun = "TODO" if len(found) == 1 else "TODOs"
    console.err(f"{len(found)} {noun} left")
    return 2 if failures else int(bool(found))


def undo(path: Path, *, force: bool = False) -> int:
    """Restore what the last run replaced and list the files on stdout.

    Raises:
        JournalError: there is no such run, or a file was edited since.
    """
    for restored in journal.undo(path, force=force):
        console.out(f"restored {_shown(restored)}\n")
    return 0


def schema() -> int:
    """Print the JSON Schema of the report."""
    from mint_migrate.report.as_json import schema_text

    console.out(schema_text())
    return 0


def _scripts(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from walk(path)
        else:
            yield path


def _as_dict(path: str, marker: Todo) -> dict[str, str | int]:
    cell: dict[str, str | int] = {"cell": marker.cell} if marker.cell else {}
    return cell | {
        "path": path,
        "line": marker.line,
        "column": marker.column,
        "code": marker.code,
        "message": marker.message,
    }


def _shown(path: Path) -> str:
    """Return *path* relative to the current directory where it lies below it."""
    here = Path.cwd()
    return os.fspath(path.relative_to(here) if path.is_relative_to(here) else path)
