"""What is said of a script that uses a source framework only through its project's other files."""

from __future__ import annotations

import ast
import os
from pathlib import Path

from mint_migrate.local.users import source_imports
from mint_migrate.model.local import Imported
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Decision, Fidelity, Found, Kind
from mint_migrate.model.source import Source

CODE = "MM109"


def through_other_files(
    source: Source, version: tuple[str, str], base: Path | None = None
) -> Migrated | None:
    """Return the outcome of a script that names no source framework; None where it uses none.

    Nothing is written: every import that has a framework behind it is left for a person.

    Args:
        source: the script.
        version: (release, evidence) that the project is taken to be written for.
        base: the folder the script was found under, None when it was named.
    """
    if b"import" not in source.content:
        return None
    try:
        found = source_imports(source, ast.parse(source.text), base)
    except (SyntaxError, ValueError, RecursionError):
        return None
    if not found:
        return None
    return Migrated(
        source=source,
        framework="trl",
        version=version[0],
        evidence=(version[1],),
        decisions=tuple(_decision(each, source.path) for each in found),
        text=None,
    )


def _decision(imported: Imported, path: str) -> Decision:
    definition = imported.definition
    shown = os.path.relpath(definition.path, os.path.dirname(os.path.abspath(path)))
    names = ", ".join(f"`{name}`" for name in _names(imported)[:4])
    return Decision(
        found=Found(
            kind=Kind.IMPORT,
            name=_names(imported)[0],
            span=imported.span,
            source_text=imported.bound,
        ),
        fidelity=Fidelity.MANUAL,
        code=CODE,
        note=f"`{imported.bound}` of {shown} stands on {names}; convert that file and import its "
        "conversion here, or move the training loop into one file",
    )


def _names(imported: Imported) -> tuple[str, ...]:
    """Return the names of a source framework that an import has behind it, what it brings first."""
    definition = imported.definition
    brought = (definition.qualified,) if definition.qualified is not None else ()
    return tuple(dict.fromkeys((*brought, *definition.uses)))
