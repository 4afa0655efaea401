"""Migrate a notebook: its code cells become one module, and the result is split into cells again.

A statement stays in its cell. What is new (imports and functions) becomes one cell in front of the
first one that changed; what would be the docstring of a script becomes a cell of text at the top.
Decisions name the cell and the line in it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mint_migrate.fronts.magics import Kept, hide, show
from mint_migrate.fronts.notebook import NewCell, Notebook, read_notebook, rebuild
from mint_migrate.model.outcome import Failed, Migrated, Outcome, Skipped
from mint_migrate.model.plan import Decision
from mint_migrate.model.source import Options, Source, Span
from mint_migrate.pipeline import Origin, migrate_source
from mint_migrate.tables.lookup import Tables

_MARK = re.compile(r'^\("mint-migrate cell", (\d+)\)\n', re.MULTILINE)
_LINE = re.compile(r"\bline (\d+)\b")
_INSTALL = "The client is installed with `%pip install mindlab-toolkit`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The code cells of a notebook as one module."""

    text: str
    kept: tuple[Kept, ...]
    starts: Mapping[int, int]
    """Cell number to the line of the module before its first one."""

    def place(self, line: int) -> tuple[int, int]:
        """Return (cell, line in it) of a line of the module."""
        cell = max(number for number, start in self.starts.items() if start < max(line, 2))
        return cell, line - self.starts[cell]

    def span(self, span: Span) -> Span:
        """Return *span* as lines of the cell that it starts in."""
        cell, line = self.place(span.line)
        return replace(span, cell=cell, line=line, end_line=span.end_line - span.line + line)

    def reword(self, sentence: str) -> str:
        """Return a sentence with its `line N` as the cell and the line in it."""

        def named(match: re.Match[str]) -> str:
            cell, line = self.place(int(match[1]))
            return f"cell {cell}, line {line}"

        return _LINE.sub(named, sentence)


def join_cells(notebook: Notebook) -> Joined:
    """Return the module that the code cells make, with an expression in front of each cell."""
    parts: list[str] = []
    kept: list[Kept] = []
    starts: dict[int, int] = {}
    num_lines = 0
    for cell in notebook.cells:
        if cell.kind != "code":
            continue
        python, hidden = hide(cell.source, len(kept) + 1)
        kept += hidden
        part = f'("mint-migrate cell", {cell.number})\n{python}\n'
        starts[cell.number] = num_lines + 1
        num_lines += part.count("\n")
        parts.append(part)
    return Joined(text="".join(parts), kept=tuple(kept), starts=starts)


def split_cells(text: str, kept: tuple[Kept, ...]) -> tuple[str, dict[int, str]]:
    """Return what stands before the first cell of a module, and the text of each cell.

    Blank lines around a cell are left out.
    """
    pieces = _MARK.split(text)
    cells = {
        int(number): show(body, kept).strip("\n")
        for number, body in zip(pieces[1::2], pieces[2::2], strict=True)
    }
    return pieces[0], cells


def migrate_notebook(source: Source, options: Options, tables: Tables) -> Outcome:
    """Migrate one notebook. Nothing is read, written or executed."""
    try:
        notebook = read_notebook(source.text)
    except (ValueError, RecursionError) as error:
        return _unreadable(source, str(error))
    joined = join_cells(notebook)
    if not joined.starts or not notebook.is_python:
        reason = "no framework used that can be migrated"
        return Skipped(path=source.path, code="MM107", reason=reason)
    module = Source(path=source.path, content=joined.text.encode(), text=joined.text, newline="\n")
    origin = Origin(reword=joined.reword, keeps_imports=True)
    outcome = migrate_source(module, options, tables, origin)
    if isinstance(outcome, Failed) and outcome.span is not None:
        return replace(outcome, span=joined.span(outcome.span))
    if not isinstance(outcome, Migrated):
        return outcome
    text = outcome.text
    if text is not None:
        text = _put_back(notebook, joined, text)
        if text is None:
            return _lost_cells(source)
    decisions = tuple(_placed(item, joined) for item in outcome.decisions)
    return replace(outcome, source=source, decisions=decisions, text=text)


def _put_back(notebook: Notebook, joined: Joined, text: str) -> str | None:
    """Return the notebook with the converted module in its cells; None where a cell is missing."""
    _, before = split_cells(joined.text, joined.kept)
    start, after = split_cells(text, joined.kept)
    if list(before) != list(after):
        return None
    changed: dict[int, str | None] = {
        number: after[number] or None for number in before if after[number] != before[number]
    }
    about, functions = _opening(start)
    added = [
        NewCell(before=1, kind="markdown", source=about, id="mint-migrate-about"),
        NewCell(
            before=min(changed, default=min(before)),
            kind="code",
            source=functions,
            id="mint-migrate-code",
        ),
    ]
    return rebuild(notebook, changed, [item for item in added if item.source])


def _opening(text: str) -> tuple[str, str]:
    """Return the docstring with which a module starts, and the code behind it."""
    first = ast.parse(text).body[0]
    assert isinstance(first, ast.Expr), "a converted module starts with its docstring"
    about = ast.literal_eval(first.value)
    lines = text.split("\n")[first.end_lineno or first.lineno :]
    return f"{about.strip()}\n\n{_INSTALL}", "\n".join(lines).strip("\n")


def _placed(decision: Decision, joined: Joined) -> Decision:
    found = replace(decision.found, span=joined.span(decision.found.span))
    return replace(decision, found=found)


def _unreadable(source: Source, reason: str) -> Failed:
    return Failed(
        path=source.path,
        code="MM101",
        reason=f"not a notebook: {reason}",
        hint="open it in Jupyter and save it; formats before 4 are converted by that",
    )


def _lost_cells(source: Source) -> Failed:
    return Failed(
        path=source.path,
        code="MM901",
        reason="a cell of the notebook is missing in the result; nothing was written",
        hint="this is a bug of mint-migrate: please report it with the notebook",
    )
