"""The report as data, version 1.

Rendered by `report/as_*.py`; its JSON form is described by a JSON Schema.
"""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.plan import Fidelity, Kind
from mint_migrate.model.source import shown_place


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    exact: int = 0
    approximate: int = 0
    dropped: int = 0
    manual: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One decision, flat."""

    code: str | None
    row: str | None
    kind: Kind
    name: str
    line: int
    column: int
    source_text: str
    decision: Fidelity
    target: str
    note: str
    suppressed: bool = False
    cell: int = 0
    """Cell of a notebook that `line` is counted in, from 1; 0 in any other file."""
    path: str = ""
    """File it stands in, where that is not the one that is migrated."""

    @property
    def start(self) -> str:
        """Return where it starts in its file, for people."""
        return shown_place(self.line, self.column, self.cell)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """`status`: converted | partial | unchanged | failed."""

    source: str
    output: str | None
    status: str
    framework: str | None
    framework_version: str | None
    evidence: tuple[str, ...]
    notices: tuple[str, ...]
    message: str
    """Why nothing was written, with its code; empty otherwise."""
    items: tuple[Item, ...]
    counts: Counts
    diff: str = ""
    """Unified diff from source to output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    tool: str
    target: str
    files: tuple[FileReport, ...]
    totals: Counts
