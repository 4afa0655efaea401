"""Which files use a source framework only through other files of their project.

A file that names no source framework still needs a person when what it imports does: the module it
imports from is converted into a new file. Most files are ruled out by the lines that import.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mint_migrate import files
from mint_migrate.local.imports import imported_definitions, project_of
from mint_migrate.model.local import Imported
from mint_migrate.model.source import Source

_IMPORT = b"import "
_WORD = re.compile(rb"\w+")


def users_of(modules: Sequence[str], others: Sequence[str], base: Path) -> tuple[str, ...]:
    """Return those of *others* that use a source framework through *modules*, in their order.

    A file found that way may be imported by the next one, so the search goes on until it finds
    nothing. *base* is the folder that all of them lie in.
    """
    found: set[str] = set()
    words = {word for path in modules for word in _names(path)}
    left = {path: names for path in others if (names := _imported_words(path))} if words else {}
    while words:
        new = [path for path, names in left.items() if words & names and _uses_source(path, base)]
        for path in new:
            del left[path]
        found.update(new)
        words = {word for path in new for word in _names(path)}
    return tuple(path for path in others if path in found)


def source_imports(
    source: Source, tree: ast.Module, base: Path | None = None
) -> tuple[Imported, ...]:
    """Return the imports of a script that have a source framework behind them.

    *base* is the folder the script was found under, None when it was named.
    """
    project = project_of(source.path, base)
    found = imported_definitions(source.text, tree, path=source.path, project=project)
    return tuple(each for each in found if each.definition.involves_source)


def _uses_source(path: str, base: Path) -> bool:
    source = files.read(path)
    if not isinstance(source, Source):
        return False
    try:
        return bool(source_imports(source, ast.parse(source.text), base))
    except (SyntaxError, ValueError, RecursionError):
        return False


def _names(path: str) -> tuple[bytes, ...]:
    """Return the words by which an import may name a file: its own, or its folder's."""
    folder, name = os.path.split(os.path.splitext(os.path.abspath(path))[0])
    return ((os.path.basename(folder) if name == "__init__" else name).encode(),)


def _imported_words(path: str) -> set[bytes]:
    """Return the words of all lines of a file that import something."""
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read()
    except OSError:
        return set()
    words: set[bytes] = set()
    at = content.find(_IMPORT)
    while at >= 0:
        start, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at)
        line = content[start : end if end >= 0 else len(content)]
        if line.rstrip().endswith((b"(", b"\\")):
            # The names stand on the lines below.
            end = content.find(b")", at)
            line = content[start : end if end >= 0 else len(content)]
        words.update(_WORD.findall(line))
        at = content.find(_IMPORT, at + len(line))
    return words
