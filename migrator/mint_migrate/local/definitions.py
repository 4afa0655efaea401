"""What the modules of a project define, and what of a source framework is behind it.

A function brings what its one result is: a call of a source framework, a variable bound once to
such a call, or a call of another function of the project that brings one. Nothing is executed.
"""

from __future__ import annotations

import ast
import os
from dataclasses import replace

from mint_migrate import files
from mint_migrate.analyse.columns import function_facts, function_results
from mint_migrate.analyse.facts import collect
from mint_migrate.analyse.nodes import loaded_names
from mint_migrate.analyse.scopes import Bound, ModuleScopes, ScopeInfo
from mint_migrate.analyse.text import SourceText
from mint_migrate.analyse.walk import walk
from mint_migrate.local.resolve import find_module, module_name
from mint_migrate.model.facts import Call, FunctionFact
from mint_migrate.model.local import Definition
from mint_migrate.model.source import Source, Span

MOST_STEPS = 3
"""Calls from function to function that are followed."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Project:
    """The modules under one root, read when they are asked for and again when they change."""

    def __init__(self, root: str) -> None:
        """Take the folder that absolute imports count from."""
        self.root = os.path.realpath(root)
        self._modules: dict[str, tuple[tuple[int, int], _Module | None]] = {}

    def definition(self, path: str, name: str) -> Definition | None:
        """Return what the file *path* binds *name* to at its top level.

        None where the file does not parse, does not bind the name, or binds it more than once: then
        only running it tells which binding holds.
        """
        found = self._definition(path, name, frozenset())
        return None if found is None else replace(found, uses=self._all_uses(found))

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names that a star import of the file *path* binds, in their order."""
        module = self._module(path)
        if module is None:
            return ()
        return tuple(name for name in module.top.bindings if not name.startswith("_"))

    def _definition(
        self, path: str, name: str, seen: frozenset[tuple[str, str]]
    ) -> Definition | None:
        module = self._module(path)
        bounds = module.top.bindings.get(name, []) if module is not None else []
        if module is None or len(bounds) != 1 or (path, name) in seen:
            return None
        seen |= {(path, name)}
        bound = bounds[0]
        if bound.kind == "import":
            return self._handed_on(module, name, bound, seen)
        if not isinstance(bound.statement, (*_FUNCTIONS, ast.ClassDef, ast.Assign, ast.AnnAssign)):
            return None
        found = module.described(name, bound.statement)
        if found.qualified is None:
            return self._through_others(module, found, bound, seen)
        return found

    def _handed_on(
        self, module: _Module, name: str, bound: Bound, seen: frozenset[tuple[str, str]]
    ) -> Definition | None:
        """Return what a name stands for that the module itself imports."""
        qualified = bound.qualified or ""
        assert isinstance(bound.statement, ast.stmt)
        if module.scopes.is_source(qualified):
            found = module.described(name, bound.statement)
            return replace(found, kind="import", qualified=qualified, uses=(qualified,))
        head, _, last = qualified.rpartition(".")
        if qualified.startswith(".") and not head.strip("."):
            head = qualified[: len(qualified) - len(last)]
        target = find_module(head, importer=module.path, root=self.root) if head else None
        return None if target is None else self._definition(target, last, seen)

    def _all_uses(self, first: Definition) -> tuple[str, ...]:
        """Return what *first* uses, by itself and through what it reads.

        Each definition is looked at once, and only so far away from the first.
        """
        uses = set(first.uses)
        seen: set[tuple[str, str]] = {(first.path, first.name)}
        layer = [first]
        for _ in range(MOST_STEPS):
            reached = {(each.path, name) for each in layer for name in each.loads} - seen
            seen |= reached
            found = [self._definition(path, name, frozenset()) for path, name in sorted(reached)]
            layer = [each for each in found if each is not None and each.kind != "import"]
            uses.update(name for each in layer for name in each.uses)
        return tuple(sorted(uses))

    def _through_others(
        self, module: _Module, found: Definition, bound: Bound, seen: frozenset[tuple[str, str]]
    ) -> Definition:
        """Return *found* with what another function of the project brings it, if one does."""
        maker = module.maker(bound)
        inner = None if maker is None else self._definition(module.path, maker, seen)
        if inner is None or inner.kind not in {"function", "import"}:
            return found
        return replace(found, qualified=inner.qualified, call=inner.call)

    def _module(self, path: str) -> _Module | None:
        try:
            status = os.stat(path)
        except OSError:
            return None
        key = (status.st_mtime_ns, status.st_size)
        known = self._modules.get(path)
        if known is None or known[0] != key:
            known = self._modules[path] = (key, _read(path, self.root))
        return known[1]


def _read(path: str, root: str) -> _Module | None:
    source = files.read(path)
    if not isinstance(source, Source):
        return None
    try:
        tree = ast.parse(source.text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _Module(path, module_name(path, root), source.text, tree)


class _Module:
    """One file: its scopes and what `analyse` finds in it."""

    def __init__(self, path: str, name: str, text: str, tree: ast.Module) -> None:
        self.path = path
        self.name = name
        self.source = SourceText(text)
        self.scopes = ModuleScopes(tree)
        self.top: ScopeInfo = self.scopes.scopes[0]
        self.calls: dict[Span, Call] = {}
        self.functions: dict[str, FunctionFact] = {}
        if any(
            self._imports_source(bound) for scope in self.scopes.scopes for bound in _all(scope)
        ):
            self.calls = {call.found.span: call for call in collect(text, tree).calls}
        for fact in function_facts(tree, self.scopes):
            if fact.scope == 0:
                self.functions[fact.name] = fact

    def _imports_source(self, bound: Bound) -> bool:
        return bound.kind == "import" and self.scopes.is_source(bound.qualified)

    def described(self, name: str, node: ast.stmt) -> Definition:
        """Return what *node*, which binds *name*, says by itself."""
        call = self._call_of(self._result(node))
        qualified = call.qualified if call is not None else None
        if isinstance(node, ast.ClassDef):
            qualified = next(iter(self._source_bases(node)), None)
        return Definition(
            name=name,
            module=self.name,
            path=self.path,
            kind=_kind(node),
            span=self.source.span(node),
            text=self.source.of(node),
            qualified=qualified,
            call=call,
            uses=self._uses(node),
            loads=self._loads(name, node),
            function=self.functions.get(name) if isinstance(node, _FUNCTIONS) else None,
        )

    def maker(self, bound: Bound) -> str | None:
        """Return the top-level name of the module that is called to make what *bound* binds."""
        assert isinstance(bound.statement, ast.stmt)
        value = self._result(bound.statement)
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            found = self.scopes.lookup(value.func.id, self.scopes.scope_of[value])
            return value.func.id if found is not None and found[0] is self.top else None
        return None

    def _result(self, node: ast.stmt) -> ast.expr | None:
        """Return the one expression that a function returns or an assignment binds."""
        if isinstance(node, ast.Assign | ast.AnnAssign):
            return node.value
        if not isinstance(node, _FUNCTIONS):
            return None
        results = function_results(node)
        if len(results) != 1 or not isinstance(results[0], ast.Name):
            return results[0] if len(results) == 1 else None
        found = self.scopes.lookup(results[0].id, self.scopes.scope_of[results[0]])
        bounds = found[1] if found is not None else []
        return bounds[0].value if len(bounds) == 1 else None

    def _call_of(self, value: ast.expr | None) -> Call | None:
        return self.calls.get(self.source.span(value)) if isinstance(value, ast.Call) else None

    def _source_bases(self, node: ast.ClassDef) -> list[str]:
        names = [self.scopes.qualified(base) for base in node.bases]
        return [name for name in names if name is not None and self.scopes.is_source(name)]

    def _uses(self, node: ast.stmt) -> tuple[str, ...]:
        used: set[str] = set()
        for child in walk(node) if self.calls or isinstance(node, ast.ClassDef) else ():
            if isinstance(child, ast.ClassDef):
                used.update(self._source_bases(child))
            elif isinstance(child, ast.Call):
                call = self.calls.get(self.source.span(child))
                used |= {call.qualified} if call is not None else set()
        return tuple(sorted(used))

    def _loads(self, name: str, node: ast.stmt) -> tuple[str, ...]:
        return tuple(sorted((loaded_names(node) & set(self.top.bindings)) - {name}))


def _all(scope: ScopeInfo) -> list[Bound]:
    return [bound for bounds in scope.bindings.values() for bound in bounds]


def _kind(node: ast.stmt) -> str:
    if isinstance(node, ast.ClassDef):
        return "class"
    return "function" if isinstance(node, _FUNCTIONS) else "assignment"
