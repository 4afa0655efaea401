"""Search files and folders for uses. Nothing is converted, written or executed."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mint_migrate import files
from mint_migrate.detect import may_use_framework
from mint_migrate.folders import list_files
from mint_migrate.local.through import CODE
from mint_migrate.local.users import source_imports, users_of
from mint_migrate.model.outcome import Failed, Skipped
from mint_migrate.model.plan import Fidelity, Kind
from mint_migrate.model.source import Source, Span
from mint_migrate.scan.config import config_uses
from mint_migrate.scan.notebook import notebook_uses
from mint_migrate.scan.python import python_uses
from mint_migrate.scan.records import FileScan, Inventory, Use
from mint_migrate.scan.shell import shell_uses
from mint_migrate.tables.lookup import Tables

SHELL = (".sh", ".bash", ".slurm", ".sbatch")
CONFIGS = (".yaml", ".yml")
SUFFIXES = (".py", ".ipynb", *SHELL, *CONFIGS)
_READERS: dict[str, Callable[[str, Tables], list[Use]]] = {
    ".py": python_uses,
    ".ipynb": notebook_uses,
    **dict.fromkeys(SHELL, shell_uses),
    **dict.fromkeys(CONFIGS, config_uses),
}


def search(paths: Sequence[Path], tables: Tables) -> Inventory:
    """Return the inventory of *paths*; a file that is named is read whatever it is called."""
    found: dict[str, FileScan] = {}
    failures: list[Failed] = []
    searched: set[str] = set()
    for path in paths:
        if path.is_dir():
            listing = list_files(path, SUFFIXES)
            failures += listing.failures
            searched.update(listing.paths)
            for each in _folder(listing.paths, path, tables):
                found.setdefault(each.path, each)
        else:
            searched.add(os.fspath(path))
            each = _named(os.fspath(path), tables)
            found.setdefault(each.path, each)
    used = tuple(each for each in found.values() if each.uses or each.failure)
    return Inventory(files=used, failures=tuple(failures), num_searched=len(searched))


def _folder(paths: Sequence[str], base: Path, tables: Tables) -> Iterator[FileScan]:
    """Yield the scans of the files of a folder that use a framework, in the order of *paths*."""
    scans = {path: scan for path in paths if (scan := _scan(path, tables)) is not None}
    users = {path: scan for path, scan in scans.items() if path.endswith(".py") and scan.uses}
    others = [path for path in paths if path.endswith(".py") and path not in users]
    through = users_of(tuple(users), others, base) if users else ()
    for path in paths:
        if path in scans and path not in through:
            yield scans[path]
        elif path in through:
            yield FileScan(path=path, uses=_local_uses(path, base))


def _named(path: str, tables: Tables) -> FileScan:
    """Return the scan of a file that was named, its uses through other files included."""
    scan = _scan(path, tables) or FileScan(path=path)
    if scan.uses or scan.failure or not path.endswith(".py"):
        return scan
    return FileScan(path=path, uses=_local_uses(path, None))


def _scan(path: str, tables: Tables) -> FileScan | None:
    """Return the uses of one file, or why it cannot be read; None where a glance says none."""
    suffix = os.path.splitext(path)[1]
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read()
    except OSError as error:
        reason = f"the file cannot be read: {error.strerror or error}"
        return FileScan(path=path, failure=Failed(path=path, code="MM105", reason=reason))
    if not may_use_framework(content, is_config=suffix in CONFIGS):
        return None
    source = files.parse(path, content)
    if isinstance(source, Skipped):
        return None
    if isinstance(source, Failed):
        return FileScan(path=path, failure=source)
    try:
        uses = _READERS.get(suffix, python_uses)(source.text, tables)
    except (SyntaxError, ValueError, RecursionError) as error:
        return FileScan(path=path, failure=_not_read(path, suffix, error))
    return FileScan(path=path, uses=tuple(uses))


def _not_read(path: str, suffix: str, error: Exception) -> Failed:
    if not isinstance(error, SyntaxError):
        what = "a notebook" if suffix == ".ipynb" else "readable"
        return Failed(path=path, code="MM104", reason=f"this is not {what}: {error}")
    line, column = error.lineno or 1, error.offset or 1
    span = Span(line=line, column=column, end_line=line, end_column=column + 1)
    return Failed(path=path, code="MM101", reason=f"not valid Python: {error.msg}", span=span)


def _local_uses(path: str, base: Path | None) -> tuple[Use, ...]:
    """Return what a script without a use of its own imports from files that have some."""
    source = files.read(path)
    if not isinstance(source, Source):
        return ()
    try:
        imported = source_imports(source, ast.parse(source.text), base)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(
        Use(
            line=each.span.line,
            column=each.span.column,
            kind=Kind.IMPORT.value,
            name=each.definition.qualified or each.definition.uses[0],
            source_text=each.bound,
            becomes=Fidelity.MANUAL.value,
            code=CODE,
            target=f"stays; it stands on {each.definition.module}",
        )
        for each in imported
    )
