"""A script and what it needs of its project's other files, as the text of one module.

    joined = join_modules(source)
    joined.text                  # a module that imports nothing of the project that has to change
    joined.place(12, 5)          # (file, line, column) of a character of it

What comes from a module keeps its text and its order, and stands behind the imports of the script.
Nothing is executed.
"""

from __future__ import annotations

import ast
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mint_migrate.local.edits import Edit, Edits
from mint_migrate.local.imports import imports_locally, project_of
from mint_migrate.local.names import Names
from mint_migrate.local.needs import Alias, Needs, Refusal
from mint_migrate.local.units import Unit, parsed
from mint_migrate.model.source import Source

_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of the joined module and where it is from."""

    text: str
    unit: Unit
    start: int
    """Offset in the file."""
    is_copy: bool
    """The text stands there; otherwise it is new, and stands for what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a script cannot be one module with what it needs."""

    path: str
    line: int
    reason: str


class Joined:
    """The text, and the place of each of its characters."""

    def __init__(self, pieces: list[Piece], names: dict[str, list[str]]) -> None:
        self.pieces = pieces
        self.text = "".join(piece.text for piece in pieces)
        self.names = names
        """By file that something comes from: what its definitions are called in it."""
        self._starts: list[int] = []
        at = 0
        for piece in pieces:
            self._starts.append(at)
            at += len(piece.text)
        self._lines = [0]
        for index, character in enumerate(self.text):
            if character == "\n":
                self._lines.append(index + 1)

    def place(self, line: int, column: int) -> tuple[str, int, int]:
        """Return (file, line, column) of a place in the text, all counted from 1."""
        offset = self._lines[line - 1] + column - 1
        at = bisect_right(self._starts, offset) - 1
        piece = self.pieces[at]
        before = piece.unit.text[
            : piece.start + (offset - self._starts[at] if piece.is_copy else 0)
        ]
        return piece.unit.path, before.count("\n") + 1, len(before) - before.rfind("\n")

    def line(self, line: int) -> tuple[str, int]:
        """Return (file, line) of a line of the text, by its first character that is no space."""
        start = self._lines[line - 1]
        end = self.text.find("\n", start)
        content = self.text[start : end if end >= 0 else len(self.text)]
        path, found, _ = self.place(line, len(content) - len(content.lstrip()) + 1)
        return path, found


def join_modules(
    source: Source, base: Path | None = None, *, everything: bool = False
) -> Joined | Refused | None:
    """Return a script with what it needs of other files; None where it needs nothing of them.

    Args:
        source: the script.
        base: the folder that it was found under, None when it was named.
        everything: not only what uses a source framework comes, but all that it imports of the
            project: values that decide what becomes of an option, classes of options.
    """
    tree = parsed(source) if b"import" in source.content else None
    if tree is None:
        return None
    project = project_of(source.path, base)
    if not imports_locally(tree, source.path, project):
        return None
    needs = Needs(Unit(source.path, source.text, tree), project.root)
    try:
        return _Join(needs).joined() if needs.find(everything=everything) else None
    except Refusal as refusal:
        return Refused(path=refusal.path, line=refusal.line, reason=refusal.reason)


class _Join:
    """Puts the pieces together."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.script = needs.script
        self.edits = Edits(needs, Names(needs))
        self.names = self.edits.names

    def joined(self) -> Joined:
        """Return the script with what comes behind its imports."""
        script, body = self.script, self.script.tree.body
        first = _insertion(self.needs)
        edits = self.edits.of(script, body)
        if any(_has_future(self.needs.units[path]) for path in self.needs.joined):
            edits += _future(script)
        cut = script.start(_end_line(body[first - 1]) + 1) if first else 0
        pieces = _without_blank_end([*_copy(script, 0, cut, edits)])
        pieces += self._imports(body[:first])
        for index, path in enumerate(self.needs.ordered()):
            pieces += self._definitions(self.needs.units[path], is_below=index > 0)
        pieces.append(Piece("\n\n", script, cut, is_copy=False))
        rest = cut + len(script.text[cut:]) - len(script.text[cut:].lstrip("\n"))
        pieces += _copy(script, rest, len(script.text), edits)
        return Joined([piece for piece in pieces if piece.text], self._named())

    def _named(self) -> dict[str, list[str]]:
        named: dict[str, list[str]] = {}
        for (path, _), called in self.names.own.items():
            named.setdefault(path, []).append(called)
        return named

    def _imports(self, above: Sequence[ast.stmt]) -> Iterator[Piece]:
        """Yield the imports that the modules need and the script does not have."""
        known = {
            _bound(alias)
            for statement in above
            if isinstance(statement, ast.Import | ast.ImportFrom)
            for alias in statement.names
            if self.needs.imported(self.script, alias, statement).path not in self.needs.joined
        }
        for path in self.needs.ordered():
            unit = self.needs.units[path]
            by_statement: dict[ast.Import | ast.ImportFrom, list[Alias]] = {}
            for each in self.needs.aliases.get(path, ()):
                by_statement.setdefault(each.statement, []).append(each)
            for statement in sorted(by_statement, key=lambda each: each.lineno):
                aliases = sorted(by_statement[statement], key=lambda each: each.alias.col_offset)
                new = [each for each in aliases if self._called(path, each) not in known]
                known |= {self._called(path, each) for each in new}
                yield from self._import(unit, statement, new)

    def _called(self, path: str, alias: Alias) -> str:
        """Return the name in the result, with what follows it in `import a.b`."""
        called = self.names.outside[path, alias.bound]
        is_dotted = alias.alias.asname is None and isinstance(alias.statement, ast.Import)
        return alias.alias.name if is_dotted else called

    def _import(
        self, unit: Unit, statement: ast.Import | ast.ImportFrom, aliases: list[Alias]
    ) -> Iterator[Piece]:
        if not aliases:
            return
        at = unit.offsets(statement)[0]
        lead = self.edits.import_lead(unit, statement, aliases[0].alias)
        yield Piece(lead, unit, at, is_copy=False)
        for number, each in enumerate(aliases):
            start, end = unit.offsets(each.alias)
            if number:
                yield Piece(", ", unit, start, is_copy=False)
            called = self.names.outside[unit.path, each.bound]
            if called == each.bound:
                yield Piece(unit.text[start:end], unit, start, is_copy=True)
            else:
                yield Piece(f"{each.alias.name} as {called}", unit, start, is_copy=False)
        yield Piece("\n", unit, at, is_copy=False)

    def _definitions(self, unit: Unit, *, is_below: bool) -> Iterator[Piece]:
        """Yield what comes from a module, with the comments above each statement.

        *is_below* says that what comes from another module stands above it.
        """
        taken = self.needs.taken[unit.path]
        body = [each for each in unit.tree.body if each in taken]
        edits = self.edits.of(unit, body)
        shown = os.path.relpath(unit.path, os.path.dirname(os.path.abspath(self.script.path)))
        before: ast.stmt | None = None
        for statement in body:
            start = unit.start(_first_line(unit, statement))
            if before is None:
                text = "\n\n" if is_below or isinstance(statement, _DEFINES) else "\n"
                text += f"# From {shown.replace(os.sep, '/')}.\n"
            else:
                text = _between(unit, before, statement)
            yield Piece(text, unit, start, is_copy=False)
            end = unit.start(_end_line(statement) + 1)
            yield from _copy(unit, start, end, edits)
            if not unit.text[:end].endswith("\n"):
                yield Piece("\n", unit, start, is_copy=False)
            before = statement


def _copy(unit: Unit, start: int, end: int, edits: list[Edit]) -> Iterator[Piece]:
    """Yield a part of a file with its edits."""
    for first, last, text in sorted(edits):
        if first < start or last > end or (first == end and start != end):
            continue
        yield Piece(unit.text[start:first], unit, start, is_copy=True)
        yield Piece(text, unit, first, is_copy=False)
        start = last
    yield Piece(unit.text[start:end], unit, start, is_copy=True)


def _without_blank_end(pieces: list[Piece]) -> list[Piece]:
    """Leave out blank lines at the end, and end the last line."""
    while pieces and not pieces[-1].text.strip("\n"):
        del pieces[-1]
    if not pieces:
        return []
    last = pieces[-1]
    end = Piece("\n", last.unit, last.start, is_copy=False)
    return [*pieces[:-1], replace(last, text=last.text.rstrip("\n")), end]


def _insertion(needs: Needs) -> int:
    """Return how many statements of the script stand in front of what comes."""
    body = needs.script.tree.body
    imports = [isinstance(each, ast.Import | ast.ImportFrom) for each in body]
    index = next((i for i, each in enumerate(body) if imports[i] and _comes(needs, each)), None)
    if index is None:
        index = int(ast.get_docstring(needs.script.tree) is not None)
    while index < len(body) and imports[index]:
        index += 1
    return index


def _comes(needs: Needs, statement: ast.stmt) -> bool:
    assert isinstance(statement, ast.Import | ast.ImportFrom)
    return any(
        needs.imported(needs.script, alias, statement).path in needs.joined
        for alias in statement.names
        if alias.name != "*"
    )


def _has_future(unit: Unit) -> bool:
    return any(
        isinstance(each, ast.ImportFrom) and each.module == "__future__" for each in unit.tree.body
    )


def _future(script: Unit) -> list[Edit]:
    """Return the edit that makes annotations of the result texts, as in the module."""
    if _has_future(script):
        return []
    first = script.tree.body[0]
    line = "from __future__ import annotations\n"
    if ast.get_docstring(script.tree) is not None:
        at = script.start(_end_line(first) + 1)
        return [(at, at, f"\n{line}")]
    at = script.start(_first_line(script, first))
    return [(at, at, f"{line}\n")]


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name


def _end_line(statement: ast.stmt) -> int:
    return statement.end_lineno or statement.lineno


def _first_line(unit: Unit, statement: ast.stmt) -> int:
    """Return the first line of a statement, with its decorators and the comments right above."""
    line = statement.lineno
    if isinstance(statement, _DEFINES):
        line = min([line, *(each.lineno for each in statement.decorator_list)])
    while line > 1:
        above = unit.source.lines[line - 2]
        if not above.startswith("#") or above.startswith("#!") or "coding" in above:
            break
        line -= 1
    return line


def _between(unit: Unit, before: ast.stmt, statement: ast.stmt) -> str:
    """Return the blank lines in front of a statement."""
    if isinstance(before, _DEFINES) or isinstance(statement, _DEFINES):
        return "\n\n"
    return "\n" if _first_line(unit, statement) - _end_line(before) > 1 else ""
