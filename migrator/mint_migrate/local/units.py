"""A file of a project as what can be joined with others: its statements and what they refer to."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate

from mint_migrate import files
from mint_migrate.analyse.scopes import Bound, ModuleScopes, ScopeInfo
from mint_migrate.analyse.text import SourceText
from mint_migrate.analyse.walk import walk
from mint_migrate.local.resolve import find_module
from mint_migrate.model.source import Source

Import = ast.Import | ast.ImportFrom
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Imported:
    """What one imported name stands for, with the attributes that are read from it."""

    qualified: str
    """As imported, dots of a relative import in front."""
    path: str | None
    """File of the project; None for what lies outside of it."""
    attribute: str | None
    """Name in that file; None where it is the module itself."""
    node: ast.expr
    """The part of the expression that means it: `settings.lora` of `settings.lora.r`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One name that is read or bound somewhere below a statement."""

    node: ast.Name
    scope: ScopeInfo | None
    """The scope that binds it; None for a builtin."""
    bounds: tuple[Bound, ...]
    imported: Imported | None
    """Where every binding is the same import."""


class Unit:
    """One file: its text, its statements, and the meaning of its names."""

    def __init__(self, path: str, text: str, tree: ast.Module) -> None:
        self.path = path
        self.text = text
        self.tree = tree
        self.scopes = ModuleScopes(tree)
        self.top: ScopeInfo = self.scopes.scopes[0]
        self.source = SourceText(text)
        self._starts = [0, *accumulate(len(line) for line in self.source.lines)]
        self._references: dict[tuple[ast.stmt, str], tuple[Reference, ...]] = {}

    @cached_property
    def words(self) -> frozenset[str]:
        """Every identifier that the file uses for something of its own."""
        found = {node.id for node in walk(self.tree) if isinstance(node, ast.Name)}
        return frozenset(found.union(*(scope.bindings for scope in self.scopes.scopes)))

    def start(self, line: int) -> int:
        """Return the offset of the first character of a line."""
        return self._starts[min(line, len(self._starts)) - 1]

    def offsets(self, node: ast.expr | ast.stmt | ast.alias) -> tuple[int, int]:
        """Return where a node starts and ends in the text."""
        span = self.source.span(node)
        return (
            self.start(span.line) + span.column - 1,
            self.start(span.end_line) + span.end_column - 1,
        )

    def top_statement(self, node: ast.AST) -> ast.stmt:
        """Return the statement of the module that *node* belongs to."""
        while (parent := self.scopes.parent[node]) is not self.tree:
            node = parent
        assert isinstance(node, ast.stmt)
        return node

    def binding_statements(self, name: str) -> list[ast.stmt]:
        """Return the statements of the module that bind a name at its top level."""
        found = self.top.bindings.get(name, ())
        return list(dict.fromkeys(self.top_statement(bound.statement) for bound in found))

    def references(self, statement: ast.stmt, root: str) -> tuple[Reference, ...]:
        """Return the names below a statement; *root* is the folder absolute imports count from."""
        key = (statement, root)
        if key not in self._references:
            names = (node for node in walk(statement) if isinstance(node, ast.Name))
            self._references[key] = tuple(self._reference(node, root) for node in names)
        return self._references[key]

    def _reference(self, node: ast.Name, root: str) -> Reference:
        found = self.scopes.lookup(node.id, self.scopes.scope_of[node])
        if found is None:
            return Reference(node, None, (), None)
        scope, bounds = found
        imported = None
        if all(bound.kind == "import" for bound in bounds):
            known = [self.imported(bound, node.id, node, root) for bound in bounds]
            imported = known[0] if all(each == known[0] for each in known) else None
        return Reference(node, scope, tuple(bounds), imported)

    def imported(self, bound: Bound, name: str, node: ast.expr | None, root: str) -> Imported:
        """Return what an import binds *name* to, with what is read from *node* where it stands."""
        base, own = _spelled(bound.statement, name)
        chain = list(self._chain(node)) if node is not None else []
        parts = [*own, *(each.attr for each in chain if isinstance(each, ast.Attribute))]
        dots = base[: len(base) - len(base.lstrip("."))]
        for length in range(len(parts), -1 if dots else 0, -1):
            path = self.find(dots + ".".join(parts[:length]), root)
            if path is not None:
                attribute = parts[length] if length < len(parts) else None
                depth = min(max(0, length + 1 - len(own)), len(parts) - len(own))
                at = chain[depth] if chain else ast.Name(name)
                return Imported(dots + ".".join(own), path, attribute, at)
        return Imported(dots + ".".join(own), None, None, node or ast.Name(name))

    def find(self, module: str, root: str) -> str | None:
        """Return the file of a module as this file imports it."""
        return find_module(module, importer=self.path, root=root)

    def _chain(self, node: ast.expr) -> Iterator[ast.expr]:
        """Yield a name and each attribute that is read from it: `a`, `a.b`, `a.b.c`."""
        while True:
            yield node
            parent = self.scopes.parent.get(node)
            if not isinstance(parent, ast.Attribute):
                return
            node = parent

    def uses_source(self, statement: ast.stmt) -> bool:
        """Say whether a statement calls a source framework or derives from it."""
        for node in walk(statement):
            called = [node.func] if isinstance(node, ast.Call) else []
            called += node.bases if isinstance(node, ast.ClassDef) else []
            if any(self.scopes.is_source(self.scopes.qualified(each)) for each in called):
                return True
        return False


def _spelled(statement: ast.AST, name: str) -> tuple[str, list[str]]:
    """Return the module of an import as written, and all parts that *name* is bound to."""
    assert isinstance(statement, Import)
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            if (alias.asname or alias.name) == name:
                dots, module = "." * statement.level, statement.module
                return dots, [*(module.split(".") if module else ()), alias.name]
        elif alias.asname == name:
            return "", alias.name.split(".")
        elif alias.asname is None and alias.name.split(".")[0] == name:
            return "", [name]
    raise AssertionError(f"{name} is not imported there")


def read_unit(path: str) -> Unit | None:
    """Return the unit of a file; None where it cannot be read or parsed."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=128)
def _read(path: str, _modified: int, _size: int) -> Unit | None:
    source = files.read(path)
    if not isinstance(source, Source):
        return None
    tree = parsed(source)
    return None if tree is None else Unit(path, source.text, tree)


def parsed(source: Source) -> ast.Module | None:
    """Return the syntax tree of a file; None where it does not parse."""
    try:
        return ast.parse(source.text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def imports_in(node: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """Return the import statements at or below a node, in no order."""
    return [each for each in walk(node) if isinstance(each, ast.Import | ast.ImportFrom)]
